"""Modalities side by side: the baseline for every other fusion (methods 5.1)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer.config import ConcatFusion
from mer.models.dropout import Dropout
from mer.models.fusion.contract import Fused, Fusion
from mer.models.fusion.inputs import ModalityInput
from mer.models.layers import LayerNorm, Linear


class Concat(Fusion):
    """LayerNorm per modality, side by side, then one Linear, or `depth` blocks of Linear-LayerNorm-GELU.

    The first Linear projects all modalities at once, so there is no projection before it. Dropout comes before each
    Linear; h has none, since the classifier that reads it has its own. A learned placeholder stands for an absent
    modality.
    """

    def __init__(self, config: ConcatFusion, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        alone = len(self.modalities) == 1
        self.inputs = nn.ModuleDict(
            {m: ModalityInput(LayerNorm(widths[m]), widths[m], placeholder=not alone) for m in self.modalities}
        )
        blocks: list[nn.Module] = []
        for block in range(config.depth):
            wide = self.width if block else sum(widths.values())
            blocks += [Dropout(config.dropout), Linear(wide, self.width)]
            blocks += [LayerNorm(self.width), nn.GELU()] if config.depth > 1 else []
        self.blocks = nn.Sequential(*blocks)

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        read = [self.inputs[m](parts[m], present_BM[..., i]) for i, m in enumerate(self.modalities)]
        return Fused(self.blocks(torch.cat(read, dim=-1)))
