"""What must hold of a corpus that was read from a hostile file."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mer.data.types import Corpus
from mer.terminal.escapes import neutral

LABELS = ("joy", "anger", "neutral")


def sound_corpus(corpus: Corpus, splits: Sequence[str]) -> None:
    for split in splits:
        ids = [utterance.id for utterance in corpus.utterances(split)]
        assert len(set(ids)) == len(ids), "two utterances have one id"
        assert all(neutral(one) == one and len(one.splitlines()) == 1 for one in ids), f"an id is {max(ids, key=len)!r}"
        for utterance in corpus.utterances(split):
            assert not any(0xD800 <= ord(c) <= 0xDFFF for c in utterance.text)
            for seconds in (utterance.start_s, utterance.end_s):
                assert seconds is None or (math.isfinite(seconds) and seconds >= 0), seconds
    for names in corpus.label_names.values():
        assert len(set(names)) == len(names) and all(names), names
