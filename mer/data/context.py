"""Windows: an utterance with its neighbouring turns, as the text that an encoder reads (methods 7.7)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from mer.config import Speaker
from mer.data.text import normalise
from mer.data.types import Dialogue, Utterance
from mer.errors import MerError, did_you_mean

_TOO_FEW = 3  # places in a dialogue up to which no earlier turn is asked about (published)


@dataclass(frozen=True, slots=True)
class Window:
    """An utterance to classify, with the turns around it.

    Attributes:
        id: id of the utterance to classify.
        turns: rendered turns, oldest first: normalised text with the speaker in the chosen style.
        target: index in `turns` of the utterance to classify.
        speaker: its speaker, as a prompt should name them.
    """

    id: str
    turns: tuple[str, ...]
    target: int
    speaker: str


def windows(dialogues: Iterable[Dialogue], *, past: int | str, future: int, speaker: str) -> list[Window]:
    """Make one window per utterance, in utterance order. A window never leaves its dialogue.

    Args:
        past: turns before the utterance, or "all".
        future: turns after it; more than 0 is the offline setting.
        speaker: a style of `mer.config.Speaker`.
    Raises: MerError for an unknown style, or a past or future that is not allowed.
    """
    if speaker not in get_args(Speaker):
        styles = get_args(Speaker)
        raise MerError(
            "speaker", f"unknown style {speaker!r}.{did_you_mean(speaker, styles)}", allowed=", ".join(styles)
        )
    if past != "all" and not (isinstance(past, int) and past >= 0):
        raise MerError("past", f"{past!r}", allowed="a number of turns, 0 or more, or 'all'")
    if future < 0:
        raise MerError("future", f"{future!r}", allowed="a number of turns, 0 or more")
    return [window for dialogue in dialogues for window in _of_dialogue(dialogue, past, future, speaker)]


def earlier_windows(
    dialogues: Sequence[Dialogue], *, past: int | str, future: int, speaker: str
) -> tuple[list[Window], list[int | None]]:
    """Make the windows of `windows`, each asked about an earlier turn in it (SPCL's augmentation, methods 1.1).

    Which turn it is, is drawn evenly and once for all, by the hash of the utterance's id.

    Returns: the windows, and for each the row of the turn that is asked about. None for the first turns of a dialogue,
        which have too few before them, and for those that see none: their windows are as usual.
    """
    made: list[Window] = []
    asked: list[int | None] = []
    for dialogue in dialogues:
        first_row = len(made)
        for place, window in enumerate(_of_dialogue(dialogue, past, future, speaker)):
            if place <= _TOO_FEW or not window.target:
                made.append(window)
                asked.append(None)
                continue
            digest = hashlib.sha256(window.id.encode()).digest()
            target = int.from_bytes(digest[:8], "big") % window.target
            row = place - window.target + target
            name = _speaker_names(dialogue.utterances, speaker)[row]
            made.append(Window(window.id, window.turns, target, name))
            asked.append(first_row + row)
    return made, asked


def _of_dialogue(dialogue: Dialogue, past: int | str, future: int, style: str) -> list[Window]:
    utterances = dialogue.utterances
    names = _speaker_names(utterances, style)
    turns = [_render(name, utterance.text, style) for name, utterance in zip(names, utterances, strict=True)]
    made = []
    for index, utterance in enumerate(utterances):
        first = 0 if past == "all" else max(0, index - int(past))
        rendered = tuple(turns[first : index + future + 1])
        made.append(Window(utterance.id, rendered, target=index - first, speaker=names[index]))
    return made


def _speaker_names(utterances: Iterable[Utterance], style: str) -> list[str]:
    names = [normalise(utterance.speaker) for utterance in utterances]
    if style == "upper":
        return [name.upper() for name in names]
    if style == "local":
        # numbered anew in each dialogue: numbers say who speaks again, not who it is
        number = {name: index for index, name in enumerate(dict.fromkeys(names), start=1)}
        return [f"<s{number[name]}>" for name in names]
    return names


def _render(name: str, text: str, style: str) -> str:
    if not name:  # nobody is named
        return normalise(text)
    prefix = {"none": "", "name": f"{name}: ", "name_says": f"{name} says: ", "upper": f"{name}: ", "local": f"{name} "}
    return (prefix[style] + normalise(text)).strip()
