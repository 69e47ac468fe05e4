"""Which of several arrays is meant: the one that is called as the modality is, by the words that toolkits use."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mer.features.given.unfit import Unfit

WORDS = {
    "text": ("text", "language", "transcript", "t"),
    "audio": ("audio", "acoustic", "speech", "sound", "a"),
    "video": ("video", "vision", "visual", "face", "v"),
}
ANY = ("features", "feature", "embeddings", "embedding", "feat", "x", "data")


def last_word(name: str) -> str:
    """Return the last part of an array's name: `train/audio` and `train.audio` -> `audio`."""
    return re.split(r"[./]", name)[-1].lower()


def array_of(names: Iterable[str], modality: str) -> str:
    """Choose an array. Raises: Unfit where none is called as the modality is, and there is more than one."""
    every = list(names)
    others = {word for other, words in WORDS.items() if other != modality for word in words}
    if len(every) == 1 and last_word(every[0]) not in others:
        return every[0]
    for word in (*WORDS[modality], *ANY):
        found = [name for name in every if last_word(name) == word]
        if len(found) == 1:
            return found[0]
    if not every:
        raise Unfit("holds no array of numbers")
    listed = ", ".join(every[:6]) + (" ..." if len(every) > 6 else "")
    arrays = "one array" if len(every) == 1 else f"{len(every)} arrays"
    raise Unfit(f"holds {arrays} ({listed}), and none is called {modality}")
