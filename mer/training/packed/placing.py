"""Place the rows of each step so that those which can be read come first.

A run that trains alone leaves out the rows that it cannot read. A pack keeps batches of one length for all members: the
readable rows of each come first, as they would alone, and repeated rows fill the rest, masked.

Shape suffixes: S steps of an epoch, P members, B places of a batch, N rows of a split.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mer.losses.geometry import LANES


class Placed(NamedTuple):
    """Hold the rows of all steps of an epoch.

    Args:
        rows_SPB: their numbers, int64; a place that only fills the batch has some readable row.
        there_SPB: bool, False for places that only fill the batch.
        order_SPB: the place that each had before, int64.
    """

    rows_SPB: np.ndarray
    there_SPB: np.ndarray
    order_SPB: np.ndarray


def place(drawn: Sequence[np.ndarray]) -> Placed:
    """Bring the batches of an epoch (P, B) to one length, a multiple of `LANES`; the last one may be shorter."""
    most = max(rows_PB.shape[1] for rows_PB in drawn)
    most += -most % LANES
    rows_SPB = np.zeros((len(drawn), len(drawn[0]), most), dtype=np.int64)
    there_SPB = np.zeros(rows_SPB.shape, dtype=bool)
    for rows, there, rows_PB in zip(rows_SPB, there_SPB, drawn, strict=True):
        rows[:, : rows_PB.shape[1]], there[:, : rows_PB.shape[1]] = rows_PB, True
        rows[:, rows_PB.shape[1] :] = rows_PB[:, :1]
    return Placed(rows_SPB, there_SPB, np.broadcast_to(np.arange(most), rows_SPB.shape))


def readable_first(placed: Placed, readable_N: np.ndarray | None) -> Placed:
    """Move the rows that can be read to the front, in their order; the others give way to readable ones.

    Args: readable_N: bool, at least one of them True; None: all rows.
    """
    if readable_N is None:
        return Placed(
            placed.rows_SPB,
            placed.there_SPB,
            np.broadcast_to(np.arange(placed.rows_SPB.shape[2]), placed.rows_SPB.shape),
        )
    readable_SPB = readable_N[placed.rows_SPB] & placed.there_SPB
    order_SPB = np.argsort(~readable_SPB, axis=2, kind="stable")
    rows_SPB, there_SPB = (np.take_along_axis(x, order_SPB, axis=2) for x in (placed.rows_SPB, readable_SPB))
    filling_SP1 = np.where(there_SPB[:, :, :1], rows_SPB[:, :, :1], np.flatnonzero(readable_N)[0])
    return Placed(np.where(there_SPB, rows_SPB, filling_SP1), there_SPB, order_SPB)
