"""One thing that a person should read about a corpus, and how serious it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Level = Literal["wrong", "note", "known"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a person should read.

    Args:
        level: "wrong" makes results wrong; "note" should be known; "known" is a fact of the published data.
        kind: one word for programs, e.g. "speakers", "absent".
        words: for people.
        examples: ids that it concerns, a few.
    """

    level: Level
    kind: str
    words: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a text backbone reads of the corpus.

    Args:
        words: lines for people; () when all is in order.
        unknown_share: of all tokens, in [0, 1].
        unread: texts of which the backbone knows no token.
        cut: texts that are longer than it reads.
    """

    backbone: str
    words: tuple[str, ...]
    unknown_share: float
    unread: int
    cut: int


def by_split(counts: Mapping[str, int]) -> str:
    """Write counts in few words: "train 10, dev 2"."""
    return ", ".join(f"{split} {count}" for split, count in counts.items() if count)
