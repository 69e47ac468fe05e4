"""Sequences: ragged rows in three plain arrays, the input of a tuned encoder (methods 6), or states that a model pools.

Each utterance has a row of units: token ids, samples, mel frames, pictures, hidden states after the first layers; or of
an encoder with pooler none, a hidden state for each token or step of time.
Suffixes: N utterances, T units of all utterances, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_PREFIX = "tokens."


@dataclass(frozen=True, eq=False)
class Sequences:
    """The rows of one split. Row i is `values[offsets[i] : offsets[i + 1]]`.

    The arrays may lie in memory that all workers share, so they are never written to.

    Args:
        values: token ids (T,) int32; or float16 (float32 if a value exceeds float16): hidden states (T, D), samples
            (T,), log-mels (T, M), pictures (T, 3, H, W), hidden states of each picture (T, P, D).
        offsets: (N+1,) int64. The row of an absent clip is empty.
        spans: (N, 2) int32, the range [start, end) of the encoder's hidden states that the pooler averages for a row;
            (0, 0) for an empty row.
    """

    values: np.ndarray
    offsets: np.ndarray
    spans: np.ndarray

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def lengths(self) -> np.ndarray:
        """Units of each row, (N,)."""
        return np.diff(self.offsets)

    def gather(self, rows: np.ndarray) -> Sequences:
        """Copy the given rows, in that order."""
        pieces = [self.values[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        offsets = np.concatenate([[0], np.cumsum(self.lengths[rows])]).astype(np.int64)
        return Sequences(np.concatenate(pieces) if pieces else self.values[:0], offsets, self.spans[rows])

    def arrays(self) -> dict[str, np.ndarray]:
        """The three arrays under the names that they have in a feature file."""
        return {f"{_PREFIX}{name}": getattr(self, name) for name in ("values", "offsets", "spans")}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Sequences | None:
        """The inverse of `arrays`; None for a file that holds no sequences."""
        if f"{_PREFIX}values" not in arrays:
            return None
        return cls(*(arrays[f"{_PREFIX}{name}"] for name in ("values", "offsets", "spans")))

    @classmethod
    def join(cls, rows: Sequence[np.ndarray], spans: Sequence[tuple[int, int]]) -> Sequences:
        """Join one array (t, ...) per utterance.

        Args: spans: per utterance, the range [start, end) that the pooler averages.
        """
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return cls(np.concatenate(rows), offsets, np.array(spans, dtype=np.int32).reshape(-1, 2))

    def fault(self, present_N: np.ndarray | None = None) -> str:
        """Say why the three arrays do not fit together; '' if they do.

        Args: present_N: True for the rows that are there; the others must be empty. None: all are there.
        """
        present_N = np.ones(len(self), dtype=bool) if present_N is None else present_N.astype(bool)
        if len(self.offsets) != len(self) + 1 or self.offsets[0] != 0 or self.offsets[-1] != len(self.values):
            return "its offsets do not cut its tokens into rows"
        if (self.lengths < 0).any() or ((self.lengths > 0) != present_N).any():
            return "its offsets do not cut its tokens into rows: one is empty, or one of an absent clip is not"
        starts, ends = self.spans.T
        if not ((starts >= 0) & np.where(present_N, starts < ends, ends == 0)).all():
            return "a span of tokens is empty, or that of an absent clip is not"
        if self.values.ndim <= 2 and (ends > self.lengths).any():  # a picture makes many hidden states
            return "a span goes outside its row"
        return "" if np.isfinite(self.values).all() else "tokens have NaN or infinity"


def condensed(states: np.ndarray, most: int) -> np.ndarray:
    """Average neighbouring states of a row over `most` equal parts, if there are more: (t, D) -> (min(t, most), D)."""
    if len(states) <= most:
        return states
    starts = np.arange(most) * len(states) // most
    counts = np.diff(starts, append=len(states))
    means: np.ndarray = np.add.reduceat(states, starts, axis=0) / counts[:, None].astype(states.dtype)
    return means


def bytes_of(units: int, rows: int, width: int) -> int:
    """The bytes of sequences, on the disk and in memory. Args: width: numbers per unit; 0 for token ids."""
    return units * (2 * width if width else 4) + rows * 16
