"""The base of all fusions: what a fusion takes and gives.

Shape suffixes in this package: B rows of the batch, M modalities of the model in the order of MODALITIES, K of them
that are not the guide, D width, C classes, E experts, R rank.

No layer mixes rows of the batch (decision D6). The content of absent rows is replaced by `torch.where`, never by a
product with zero, since it may be NaN.
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
        h_BD: the fused vectors, float32.
        losses: auxiliary losses, already weighted scalars to add to the loss; none in eval mode.
        monitors: detached scalars to log.
        logits_BC: class scores of late fusion, which classifies by itself; else None.
        own_logits: modality -> its own class scores (B, C), and bool (B,), the rows that it was read in: modality
            dropout may have left out some that are present. Late fusion only.
    """

    h_BD: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)
    monitors: dict[str, Tensor] = field(default_factory=dict)
    logits_BC: Tensor | None = None
    own_logits: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


class Fusion(nn.Module):
    """Base of all fusions: fixed order of modalities, and modality dropout. Subclasses implement `fuse`.

    Args:
        config: its configuration.
        widths: modality -> width D_m of its features; one to three modalities.
    Raises: ValueError if there is no modality, or an unknown one.
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
            parts: modality -> features (B, D_m), float32, on a common scale. Absent rows may hold anything.
            present_BM: bool, columns in the order of `self.modalities`, at least one True per row.
        Raises: ValueError if `present_BM` does not have one column per modality.
        """
        if present_BM.shape[1:] != (len(self.modalities),):
            raise ValueError(f"present_BM: one column for each of {self.modalities}, got {tuple(present_BM.shape)}")
        if self.training:
            present_BM = drop_modalities(present_BM, self.modality_dropout, self.modalities)
        fused = self.fuse(parts, present_BM)
        return replace(fused, h_BD=fused.h_BD.float())

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor) -> Fused:
        """Fuse one batch after modality dropout; arguments as in `forward`."""
        raise NotImplementedError


def drop_modalities(
    present_BM: Tensor, p: float, modalities: Sequence[str], generator: torch.Generator | None = None
) -> Tensor:
    """Leave out each modality but text with probability `p`, independently; a row that would lose all keeps all.

    Args:
        present_BM: bool, columns in the order of `modalities`.
        p: in [0, 1).
        generator: on the device of `present_BM`; None: torch's global one.
    Returns: bool (B, M), the modalities that are left.
    """
    if p == 0:
        return present_BM
    dropped_BM = torch.rand(present_BM.shape, generator=generator, device=present_BM.device) < p
    if "text" in modalities:
        dropped_BM[:, modalities.index("text")] = False
    left_BM = present_BM & ~dropped_BM
    return torch.where(left_BM.any(dim=1, keepdim=True), left_BM, present_BM)
