"""Texts as ragged rows of tokens: what a tuned encoder reads (methods 6), in three plain arrays.

Suffixes: N utterances, T tokens of all utterances, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_PREFIX = "tokens."


@dataclass(frozen=True, eq=False)
class Tokens:
    """One split. Row i is `values[offsets[i] : offsets[i + 1]]`. Arrays may be shared memory: they are never written.

    Args:
        values: token ids (T,) int32, or hidden states after the first layers (T, D) float16 (float32 where a value
            exceeds float16).
        offsets: (N+1,) int64.
        spans: (N, 2) int32, the tokens [start, end) of each row that the pooler averages.
    """

    values: np.ndarray
    offsets: np.ndarray
    spans: np.ndarray

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, (N,)."""
        return np.diff(self.offsets)

    def gather(self, rows: np.ndarray) -> Tokens:
        """A copy of the given rows, in that order."""
        pieces = [self.values[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        offsets = np.concatenate([[0], np.cumsum(self.lengths[rows])]).astype(np.int64)
        return Tokens(np.concatenate(pieces) if pieces else self.values[:0], offsets, self.spans[rows])

    def arrays(self) -> dict[str, np.ndarray]:
        """By name, as a feature file holds them."""
        return {f"{_PREFIX}{name}": getattr(self, name) for name in ("values", "offsets", "spans")}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Tokens | None:
        """What `arrays` gave; None where a file has no tokens."""
        if f"{_PREFIX}values" not in arrays:
            return None
        return cls(*(arrays[f"{_PREFIX}{name}"] for name in ("values", "offsets", "spans")))

    @classmethod
    def join(cls, rows: Sequence[np.ndarray], spans: Sequence[tuple[int, int]]) -> Tokens:
        """From one array per utterance, (t,) or (t, D)."""
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return cls(np.concatenate(rows), offsets, np.array(spans, dtype=np.int32).reshape(-1, 2))

    def fault(self) -> str:
        """Why this is not a whole table, or ''."""
        ordered = len(self.offsets) == len(self) + 1 and self.offsets[0] == 0 and (np.diff(self.offsets) > 0).all()
        if not ordered or self.offsets[-1] != len(self.values):
            return "its offsets do not cut its tokens into rows"
        if not ((self.spans[:, 0] >= 0) & (self.spans[:, 0] < self.spans[:, 1])).all():
            return "a span of tokens is empty"
        if (self.spans[:, 1] > self.lengths).any():
            return "a span goes outside its row"
        return "" if np.isfinite(self.values).all() else "tokens have NaN or infinity"


def bytes_of(tokens: int, rows: int, width: int) -> int:
    """What a table takes, on the disk and in memory. Args: width: of hidden states; 0: token ids."""
    return tokens * (2 * width if width else 4) + rows * 16
