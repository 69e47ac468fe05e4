"""The batch of a model that reads several modalities, or whole dialogues.

Shape suffixes: B rows, M modalities.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mer.models.dialogue.layout import Layout, layout_of


class FusedBatch(NamedTuple):
    """Rows of one or several modalities: features (B, L_m, D_m) by modality, and which are there (B, M), in that order.

    For the modality of a tuned encoder, a SequenceBatch.

    Args:
        dialogue_B: number of each row's dialogue, int64; None where rows are read one by one.
        counted_B: False for rows that only fill the batch; None: all count.
        speaker_B: number of who speaks, int64; None where it is not read.
    """

    parts: dict[str, Any]
    present_BM: Tensor
    dialogue_B: Tensor | None = None
    counted_B: Tensor | None = None
    speaker_B: Tensor | None = None

    @property
    def layout(self) -> Layout | None:
        """Where the rows stand in their dialogues; None where they are read one by one."""
        return None if self.dialogue_B is None else layout_of(self.dialogue_B, self.speaker_B)

    def only(self, modality: str) -> FusedBatch:
        """The same rows of one modality alone."""
        column = list(self.parts).index(modality)
        return self._replace(
            parts={modality: self.parts[modality]}, present_BM=self.present_BM[..., column : column + 1]
        )


def each_alone(rows: int, device: torch.device) -> Layout:
    """Lay out rows that are no turns of a dialogue (label words): each is a dialogue of its own."""
    return layout_of(torch.arange(rows, device=device), torch.zeros(rows, dtype=torch.int64, device=device))
