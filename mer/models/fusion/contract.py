"""The base of all fusions: what a fusion takes and gives.

Shape suffixes in this package: B rows of the batch, M modalities of the model in the order of MODALITIES, K of them
that are not the guide, D width, C classes, E experts, R rank.

No layer mixes rows of the batch (decision D6). The content of absent rows is replaced by `torch.where`, never by a
product with zero, since it may be NaN. Axes are counted from the last one: a member axis may stand in front of all, and
weights are then those of several models (`mer.models.layers`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mer.config import Fusion as FusionConfig
from mer.models.dropout import Dropout
from mer.tensor_math import at_least_single, masked_mean

MODALITIES = ("text", "audio", "video")


@dataclass(frozen=True)
class Fused:
    """One batch after fusion.

    Args:
        h_BD: the fused vectors, at least float32.
        losses: auxiliary losses, already weighted scalars to add to the loss; none in eval mode.
        monitors: detached scalars to log.
        logits_BC: class scores of late fusion, which classifies by itself; else None.
        own_logits: modality -> its own class scores (B, C), and bool (B,), the rows that it was read in: modality
            dropout may have left out some that are present. Late fusion and Self-MM only.
        own_vectors: modality -> its own vector (B, D), from which its scores are made. Self-MM only.
    """

    h_BD: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)
    monitors: dict[str, Tensor] = field(default_factory=dict)
    logits_BC: Tensor | None = None
    own_logits: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    own_vectors: dict[str, Tensor] = field(default_factory=dict)


class Fusion(nn.Module):
    """Base of all fusions: fixed order of modalities, and modality dropout. Subclasses implement `fuse`.

    Args:
        config: its configuration.
        widths: modality -> width D_m of its features; one to three modalities.
    Attributes: varies: names of its numbers that may differ between the members of a pack.
    Raises: ValueError if there is no modality, or an unknown one.
    """

    varies: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: FusionConfig, widths: Mapping[str, int]) -> None:
        super().__init__()
        if not widths or not set(widths) <= set(MODALITIES):
            raise ValueError(f"fusion: modalities must be one to three of {MODALITIES}, got {sorted(widths)}")
        self.modalities = tuple(modality for modality in MODALITIES if modality in widths)
        self.width = config.width
        self.modality_dropout = ModalityDropout(config.modality_dropout, self.modalities)

    def forward(self, parts: Mapping[str, Any], present_BM: Tensor, counted_B: Tensor | None = None) -> Fused:
        """Fuse one batch.

        Args:
            parts: modality -> features (B, D_m), float32, on a common scale. Absent rows may hold anything. A fusion
                that reads sequences also takes States.
            present_BM: bool, columns in the order of `self.modalities`, at least one True per row.
            counted_B: bool, False for rows that only fill the batch and are in no loss or monitor; None: all count.
        Raises: ValueError if `present_BM` does not have one column per modality.
        """
        if present_BM.shape[-1] != len(self.modalities):
            raise ValueError(f"present_BM: one column for each of {self.modalities}, got {tuple(present_BM.shape)}")
        fused = self.fuse(parts, self.modality_dropout(present_BM), counted_B)
        return replace(fused, h_BD=at_least_single(fused.h_BD))

    def fuse(self, parts: Mapping[str, Any], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        """Fuse one batch after modality dropout; arguments as in `forward`."""
        raise NotImplementedError


class ModalityDropout(Dropout):
    """Leave modalities of rows out, while training."""

    def __init__(self, rate: float, modalities: Sequence[str]) -> None:
        super().__init__(rate)
        self.modalities = modalities

    def forward(self, present_BM: Tensor) -> Tensor:
        """Return which modalities are read, bool (B, M), of those that are present."""
        return present_BM if self.idle else keep_modalities(present_BM, self.kept(present_BM), self.modalities)


def keep_modalities(present_BM: Tensor, kept_BM: Tensor, modalities: Sequence[str]) -> Tensor:
    """Leave out each modality but text that is not kept; a row that would lose all keeps all.

    Args: present_BM, kept_BM: bool, columns in the order of `modalities`.
    Returns: bool (B, M), the modalities that are left.
    """
    if "text" in modalities:
        place = modalities.index("text")
        kept_BM = kept_BM.clone()
        kept_BM[..., place] = True
    left_BM = present_BM & kept_BM
    return torch.where(left_BM.any(dim=-1, keepdim=True), left_BM, present_BM)


def mean_of_rows(values_B: Tensor, counted_B: Tensor | None) -> Tensor:
    """Average one number for each row, over the rows that count; None: all do."""
    return values_B.mean(dim=-1) if counted_B is None else masked_mean(values_B, counted_B)
