"""What every fusion takes and gives.

Shape suffixes in this package: B rows of the batch, M modalities of the model in the order of MODALITIES, K of them
that are not the guide, D width, C classes, E experts, R rank.

No layer mixes rows of the batch (decision D6), and what an absent row holds is never multiplied, only selected away:
NaN times zero is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from mer.config import Fusion as FusionConfig

MODALITIES = ("text", "audio", "video")


@dataclass(frozen=True)
class Fused:
    """One batch after fusion.

    Args:
        h_BD: the fused representation, float32.
        losses: auxiliary scalars, already weighted, to be added to the loss; none in eval mode.
        monitors: detached scalars to log.
        logits_BC: class scores of a fusion that classifies by itself (late), else None.
        own_logits: class scores (B, C) of each modality alone, and the rows (B,) where this pass read it: modality
            dropout may have left out rows that are there. Late fusion only.
    """

    h_BD: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)
    monitors: dict[str, Tensor] = field(default_factory=dict)
    logits_BC: Tensor | None = None
    own_logits: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


class Fusion(nn.Module):
    """Base of all fusions: fixed order of modalities, modality dropout; subclasses say in `fuse` how they meet.

    Args:
        config: its configuration.
        widths: modality -> D of its features; one to three modalities.
    Raises: ValueError when there is no modality, or one that is not known.
    """

    def __init__(self, config: FusionConfig, widths: Mapping[str, int]) -> None:
        super().__init__()
        if not widths or not set(widths) <= set(MODALITIES):
            raise ValueError(f"fusion: modalities must be one to three of {MODALITIES}, got {sorted(widths)}")
        self.modalities = tuple(modality for modality in MODALITIES if modality in widths)
        self.width = config.width
        self.modality_dropout = config.modality_dropout

    def forward(self, parts: Mapping[str, Tensor], present_BM: Tensor) -> Fused:
        """Fuse one batch.

        Args:
            parts: modality -> features (B, D_m), float32, on a common scale. Rows that are absent may hold anything.
            present_BM: bool, columns in the order of `self.modalities`, at least one True per row.
        Raises: ValueError when `present_BM` has not one column per modality.
        """
        if present_BM.shape[1:] != (len(self.modalities),):
            raise ValueError(f"present_BM: one column for each of {self.modalities}, got {tuple(present_BM.shape)}")
        if self.training:
            present_BM = drop_modalities(present_BM, self.modality_dropout, self.modalities)
        fused = self.fuse(parts, present_BM)
        return replace(fused, h_BD=fused.h_BD.float())

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor) -> Fused:
        raise NotImplementedError


def drop_modalities(
    present_BM: Tensor, p: float, modalities: Sequence[str], generator: torch.Generator | None = None
) -> Tensor:
    """Leave out each modality but text with probability `p`, independently; a row that would lose all keeps all.

    Args:
        present_BM: bool, columns in the order of `modalities`.
        generator: on the device of `present_BM`; None: torch's global one.
    """
    if p == 0:
        return present_BM
    dropped_BM = torch.rand(present_BM.shape, generator=generator, device=present_BM.device) < p
    if "text" in modalities:
        dropped_BM[:, modalities.index("text")] = False
    left_BM = present_BM & ~dropped_BM
    return torch.where(left_BM.any(dim=1, keepdim=True), left_BM, present_BM)
