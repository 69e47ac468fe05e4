"""Count the word errors of a transcript against the gold text."""

from __future__ import annotations

import re
from collections.abc import Sequence

import jiwer

from mer.data.text import HAN_AND_KANA, normalise

_WORD = re.compile(rf"[{HAN_AND_KANA}]|[^\W_{HAN_AND_KANA}]+")


def words(text: str) -> list[str]:
    """Split a text as word errors count it: lower case, no punctuation; "Don't" is one word, "well-known" two.

    Chinese and Japanese characters count as a word each, since nobody writes spaces between their words.
    """
    return _WORD.findall(normalise(text).lower().replace("'", ""))


def word_errors(gold: Sequence[str], heard: Sequence[str]) -> int:
    """Return the fewest substitutions, insertions and deletions that turn `gold` into `heard`, counted by jiwer.

    Args: gold, heard: words without white space in them, as `words` gives them.
    """
    if not gold:  # jiwer refuses it
        return len(heard)
    counted = jiwer.process_words(" ".join(gold), " ".join(heard))
    return counted.substitutions + counted.insertions + counted.deletions
