"""Give the training and dev rows of all members at once, at a common scale.

Shape suffixes: P members, B batch rows, N rows of a split, L stored layers, D encoder width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mer.losses.geometry import LANES
from mer.models.inputs import InputNorm
from mer.training.augmented import all_labels
from mer.training.data import CHUNK_ROWS, SplitArrays

TABLE_BYTES = 2**30  # a split's float32 table is made once up to this size; above it, rows are scaled as they are read
_CHUNK = 256  # rows of a pass without gradient on a CPU: the same for packs of any size, so that sums add up alike


def filled(rows_PB: Tensor) -> tuple[Tensor, Tensor | None]:
    """Fill batches up to a multiple of `LANES` rows with their first row.

    A CPU computes exp, log and the like several numbers at a time, and the rest of a tensor one by one, with other last
    digits. With whole multiples for each member there is no rest, so that a member's digits do not depend on the pack.

    Returns: rows (P, B), and which of them count, bool (P, B); None: all.
    """
    members, rows = rows_PB.shape
    missing = -rows % LANES
    if not missing:
        return rows_PB, None
    there_B = torch.arange(rows + missing, device=rows_PB.device) < rows
    wide = torch.cat([rows_PB, rows_PB[:, :1].expand(-1, missing)], dim=1)
    return wide, there_B.expand(members, -1)


class PackedRows:
    """Hold one split as the members of a pack read it.

    Members that read the same hidden states share one table. Scaling is done once, when the table is made: it is the
    same arithmetic, number by number, as for each batch.

    Args:
        splits: each member's split; all of the same utterances.
        layers: the hidden states that each member reads, equally many.
        norms: each member's fitted input norm.
    """

    def __init__(
        self, splits: Sequence[SplitArrays], layers: Sequence[list[int]], norms: Sequence[InputNorm], device: str
    ) -> None:
        self.device, self.size = device, len(splits[0])
        tables: dict[tuple[int, tuple[int, ...]], int] = {}
        self.tables: list[_Table] = []
        self.table_of: list[int] = []
        for split, chosen, norm in zip(splits, layers, norms, strict=True):
            place = tables.setdefault((id(split.features_NLD), tuple(chosen)), len(self.tables))
            if place == len(self.tables):
                self.tables.append(_Table(split, chosen, norm, device))
            self.table_of.append(place)
        self.labels_N = torch.tensor(all_labels(splits[0]), device=device)  # of rows, and of samples behind them
        present = splits[0].present_N
        self.present_N = None if present is None else torch.tensor(present, device=device)

    def batch(self, rows_PB: Tensor) -> tuple[Tensor, Tensor]:
        """Gather features (P, B, L, D) and labels (P, B) of each member's rows."""
        members, batch = rows_PB.shape
        if len(self.tables) == 1:
            x = self.tables[0].rows(rows_PB.reshape(-1))
            return x.view(members, batch, *x.shape[1:]), self.labels_N[rows_PB]
        x = torch.stack([self.tables[place].rows(rows_PB[k]) for k, place in enumerate(self.table_of)])
        return x, self.labels_N[rows_PB]

    def chunks(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Read all rows in order, some at a time; the last chunk is filled up with its first row.

        Returns: features (P, n, L, D), the numbers of the rows (n,), and which of them are no filling, bool (n,).
        """
        most = _CHUNK if self.device == "cpu" else CHUNK_ROWS
        for start in range(0, self.size, most):
            rows_1N = torch.arange(start, min(start + most, self.size), device=self.device).unsqueeze(0)
            rows_1N, there_1N = filled(rows_1N)
            rows_N = rows_1N.squeeze(0)
            is_new_N = torch.ones_like(rows_N, dtype=torch.bool) if there_1N is None else there_1N.squeeze(0)
            parts = [table.rows(rows_N) for table in self.tables]
            shared = len(parts) == 1
            x = (
                parts[0].expand(len(self.table_of), -1, -1, -1)
                if shared
                else torch.stack([parts[p] for p in self.table_of])
            )
            yield x, rows_N, is_new_N


class _Table:
    """Hold the rows of one choice of hidden states, float32 at a common scale."""

    def __init__(self, split: SplitArrays, layers: list[int], norm: InputNorm, device: str) -> None:
        self.split, self.layers, self.device = split, layers, device
        self.scales = norm if norm.kind == "standardize" else None
        rows = len(all_labels(split))
        bytes_needed = rows * len(layers) * split.width * 4
        self.whole = self._read(np.arange(rows)) if bytes_needed <= TABLE_BYTES else None

    def rows(self, rows_R: Tensor) -> Tensor:
        if self.whole is not None:
            return self.whole.index_select(0, rows_R)
        return self._read(rows_R.cpu().numpy())

    @torch.no_grad()
    def _read(self, rows: np.ndarray) -> Tensor:
        x, _ = self.split.batch(rows, self.layers, self.device)
        return x if self.scales is None else self.scales(x)
