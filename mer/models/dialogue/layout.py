"""Rows of dialogues, laid out as dialogues by turns, and back.

Shape suffixes: N utterances, W width, D dialogues, U turns of the longest dialogue and K the same, F distances,
H heads.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

FAR = 16  # turns; all larger distances count alike


class Layout(NamedTuple):
    """Say where the rows of a batch stand in their dialogues.

    Args:
        place_N: int64, dialogue x U + turn of each row.
        there_DU: bool, False where a dialogue is over.
        speaker_DU: int64, number of who speaks, equal for turns of one speaker of a dialogue; None: not known.
    """

    place_N: Tensor
    there_DU: Tensor
    speaker_DU: Tensor | None = None

    def spread(self, x_NW: Tensor) -> Tensor:
        """Lay rows out as (D, U, W), zeros where a dialogue is over."""
        dialogues, turns = self.there_DU.shape
        flat = x_NW.new_zeros(dialogues * turns, x_NW.shape[-1])
        return flat.index_copy(0, self.place_N, x_NW).unflatten(0, (dialogues, turns))

    def rows(self, x_DUW: Tensor) -> Tensor:
        """Take the rows out again, (N, W), in their order."""
        return x_DUW.flatten(0, 1).index_select(0, self.place_N)

    @property
    def same_DUK(self) -> Tensor:
        """Say which turns are of the same speaker. Raises: ValueError where nobody knows."""
        if self.speaker_DU is None:
            raise ValueError("a layer reads who speaks; the batch does not say (FusedSplit.speaker_N)")
        return self.speaker_DU.unsqueeze(-1) == self.speaker_DU.unsqueeze(-2)

    def backwards(self, x_DUW: Tensor) -> Tensor:
        """Turn every dialogue around within its own length; padding stays at the end."""
        return x_DUW.take_along_dim(self._turned_DU.unsqueeze(-1), dim=-2)

    def turned(self) -> Layout:
        """The layout of what `backwards` gives; `place_N` does not belong to it."""
        speaker_DU = None if self.speaker_DU is None else self.speaker_DU.take_along_dim(self._turned_DU, dim=-1)
        return self._replace(speaker_DU=speaker_DU)

    @property
    def _turned_DU(self) -> Tensor:
        turn_U = torch.arange(self.there_DU.shape[-1], device=self.there_DU.device)
        last_D1 = self.there_DU.sum(dim=-1, keepdim=True) - 1
        return torch.where(self.there_DU, last_D1 - turn_U, turn_U)


def layout_of(dialogue_N: Tensor, speaker_N: Tensor | None = None) -> Layout:
    """Lay out rows that come dialogue after dialogue.

    Args:
        dialogue_N: number of each row's dialogue; neighbours with equal numbers are one dialogue.
        speaker_N: int64, number of who speaks; None: not known.
    """
    there_DU = places(dialogue_N)
    speaker_DU = None
    if speaker_N is not None:
        speaker_DU = torch.full_like(there_DU, -1, dtype=torch.int64)
        speaker_DU[there_DU] = speaker_N
    return Layout(there_DU.flatten().nonzero().flatten(), there_DU, speaker_DU)


def places(dialogue_N: Tensor) -> Tensor:
    """Mark the places of (D, U) that hold an utterance, bool; the others are padding at the end."""
    counts_D = torch.unique_consecutive(dialogue_N, return_counts=True)[1]
    return torch.arange(int(counts_D.max()), device=dialogue_N.device) < counts_D[:, None]


def by_distance(table_FH: Tensor, distance_UK: Tensor) -> Tensor:
    """Look up a learned table: (U, K, H), or of several members (P, U, K, H)."""
    if table_FH.ndim == 2:
        return F.embedding(distance_UK, table_FH)
    return torch.stack([F.embedding(distance_UK, own_FH) for own_FH in table_FH])
