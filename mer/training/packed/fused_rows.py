"""Give the rows of several modalities for all members at once: the tables of each modality, and what is there.

Shape suffixes: P members, B batch rows, N rows of a split, M modalities.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mer.models.inputs import InputNorm
from mer.training.data import FusedBatch, FusedSplit
from mer.training.packed.rows import PackedRows


class FusedRows:
    """Hold one split of several modalities as the members of a pack read it. Used as `PackedRows` is.

    Args:
        splits: each member's split; all of the same utterances, with the same clips absent.
        layers: the hidden states that each member reads of each modality, equally many.
        norms: each member's fitted input norms, by modality.
    """

    present_N = None  # a fused row without any modality is read by rules of its own

    def __init__(
        self,
        splits: Sequence[FusedSplit],
        layers: Sequence[Mapping[str, list[int]]],
        norms: Sequence[Mapping[str, InputNorm]],
        device: str,
    ) -> None:
        self.split, self.members, self.size = splits[0], len(splits), len(splits[0])
        self.parts: dict[str, PackedRows] = {}
        for m in self.split.parts:
            arrays: list[Any] = [split.parts[m] for split in splits]  # cached: those of tuned encoders are not packed
            self.parts[m] = PackedRows(arrays, [own[m] for own in layers], [own[m] for own in norms], device)
        self.labels_N = next(iter(self.parts.values())).labels_N
        self.present_NM = self._present(self.split)

    def batch(self, rows_PB: Tensor) -> tuple[FusedBatch, Tensor]:
        """Gather each member's rows, and their labels (P, B)."""
        given = {modality: part.batch(rows_PB)[0] for modality, part in self.parts.items()}
        return FusedBatch(given, self.present_NM[rows_PB]), self.labels_N[rows_PB]

    def chunks(self, dropped: str = "") -> Iterator[tuple[FusedBatch, Tensor, Tensor]]:
        """Read all rows in order, some at a time; filled up, and told of, as by `PackedRows.chunks`.

        Args: dropped: modality that is read as absent.
        """
        present_NM = self.present_NM.clone()
        if dropped:
            present_NM[:, list(self.parts).index(dropped)] = False
        for given in zip(*(part.chunks() for part in self.parts.values()), strict=True):
            rows_N, is_new_N = given[0][1:]
            parts = {modality: x for modality, (x, _, _) in zip(self.parts, given, strict=True)}
            yield FusedBatch(parts, present_NM[rows_N].expand(self.members, -1, -1)), rows_N, is_new_N

    def _present(self, split: FusedSplit) -> Tensor:
        return torch.from_numpy(split.present(np.arange(len(split)))).to(self.labels_N.device)
