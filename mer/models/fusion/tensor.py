"""Tensor fusion, Zadeh et al. 2017 (TFN, arXiv 1707.07250)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mer.config import TFNFusion
from mer.models.dropout import Dropout
from mer.models.fusion.contract import Fused, Fusion
from mer.models.fusion.inputs import Tokens
from mer.models.layers import Linear
from mer.tensor_math import at_least_single


class TensorFusion(Fusion):
    """h = Linear(Dropout([1; x_T] (x) [1; x_A] (x) [1; x_V])), with x_m the modality reduced to `factor_width`.

    The outer product holds every product of up to three numbers, one of each modality. An absent modality has x_m = 0,
    which leaves the terms of the others. The product is computed in float32 also under autocast.
    """

    def __init__(self, config: TFNFusion, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        self.reduce = Tokens(
            {m: widths[m] for m in self.modalities}, config.factor_width, config.dropout, after=nn.GELU
        )
        self.dropout = Dropout(config.dropout)
        self.out = Linear((config.factor_width + 1) ** len(self.modalities), self.width)

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        reduced_BMD = self.reduce(parts, present_BM)
        with torch.autocast(reduced_BMD.device.type, enabled=False):
            first_BD, *others = F.pad(at_least_single(reduced_BMD), (1, 0), value=1.0).unbind(-2)
            product_BW = first_BD
            for x_BD in others:
                product_BW = (product_BW.unsqueeze(-1) * x_BD.unsqueeze(-2)).flatten(-2)
            return Fused(self.out(self.dropout(product_BW)))
