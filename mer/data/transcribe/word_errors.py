"""Count the word errors of a transcript against the gold text."""

from __future__ import annotations

import re
from collections.abc import Sequence

import jiwer

from mer.data.text import normalise


def words(text: str) -> list[str]:
    """Split a text as word errors count it: lower case, no punctuation; "Don't" is one word, "well-known" two."""
    return re.findall(r"[^\W_]+", normalise(text).lower().replace("'", ""))


def word_errors(gold: Sequence[str], heard: Sequence[str]) -> int:
    """Return the fewest substitutions, insertions and deletions that turn `gold` into `heard`, counted by jiwer.

    Args: gold, heard: words without white space in them, as `words` gives them.
    """
    if not gold:  # jiwer refuses it
        return len(heard)
    counted = jiwer.process_words(" ".join(gold), " ".join(heard))
    return counted.substitutions + counted.insertions + counted.deletions
