"""Batches of ragged rows for a tuned encoder, and their grouping by length."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor


class SequenceBatch(NamedTuple):
    """Ragged rows, one after another; an absent row has length 0.

    Attributes:
        values: ids or samples (sum of lengths,), hidden states (sum, D), or frames (sum, ...).
        lengths: (B,) numpy, length of each row.
        spans: (B, 2) numpy, first and last + 1 of the hidden states that the pooler averages.
    """

    values: Tensor
    lengths: np.ndarray
    spans: np.ndarray

    def emptied(self) -> SequenceBatch:
        """Return a batch with as many rows, all of them absent."""
        return SequenceBatch(self.values[:0], np.zeros_like(self.lengths), np.zeros_like(self.spans))


def cheapest_groups(lengths: np.ndarray, most_rows: int, forward_cost: int) -> list[list[int]]:
    """Sort rows by length and cut them into groups so that padding and forward passes cost least.

    Args:
        lengths: (B,), cost of each row, in hidden states.
        most_rows: largest size of a group.
        forward_cost: cost of one more group, in hidden states.
    Returns: row numbers of each group.
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
