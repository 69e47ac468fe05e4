"""Word errors, the measure of a transcript against what was said."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mer.data.text import normalise


def words(text: str) -> list[str]:
    """As word errors count them: lower case, no punctuation; "Don't" is one word, "well-known" two."""
    return re.findall(r"[^\W_]+", normalise(text).lower().replace("'", ""))


def word_errors(gold: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest substitutions, insertions and deletions that turn `gold` into `heard` (Levenshtein over words)."""
    row = list(range(len(heard) + 1))
    for deleted, gold_word in enumerate(gold, start=1):
        above, row = row, [deleted]
        for column, heard_word in enumerate(heard, start=1):
            row.append(min(above[column] + 1, row[-1] + 1, above[column - 1] + (gold_word != heard_word)))
    return row[-1]
