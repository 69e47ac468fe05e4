"""What a tuned encoder is given: ragged rows as tensors, and which of them it reads together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor


class SequenceBatch(NamedTuple):
    """Ragged rows, one after another.

    `values`: ids or samples (sum of lengths,), hidden states (sum, D), or frames (sum, ...). `lengths` (B,) and `spans`
    (B, 2), the hidden states that the pooler averages, are numpy. A row that is not there is empty.
    """

    values: Tensor
    lengths: np.ndarray
    spans: np.ndarray

    def emptied(self) -> SequenceBatch:
        """As many rows, none of which is there."""
        return SequenceBatch(self.values[:0], np.zeros_like(self.lengths), np.zeros_like(self.spans))


def cheapest_groups(lengths: np.ndarray, most_rows: int, forward_cost: int) -> list[list[int]]:
    """Rows sorted by length and cut into groups of at most `most_rows`, where padding and forward passes cost least.

    Args: forward_cost: of one more group, in hidden states.
    """
    order = np.argsort(lengths, kind="stable")
    longest = lengths[order]
    best, cut = [0.0], [0]
    for end in range(1, len(order) + 1):
        starts = range(max(0, end - most_rows), end)
        costs = [best[start] + (end - start) * int(longest[end - 1]) + forward_cost for start in starts]
        least = int(np.argmin(costs))
        best.append(costs[least])
        cut.append(starts[least])
    groups, end = [], len(order)
    while end:
        groups.append(order[cut[end] : end].tolist())
        end = cut[end]
    return groups[::-1]
