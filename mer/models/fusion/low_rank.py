"""Low-rank multimodal fusion, Liu et al. 2018 (methods 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mer.config import LMFFusion
from mer.models.fusion.contract import Fused, Fusion
from mer.models.fusion.inputs import Tokens
from mer.models.layers import LayerNorm
from mer.tensor_math import at_least_single


class LowRank(Fusion):
    """out = sum_r w_r prod_m [1; x_m] W_mr + b, with x_m the modality reduced to `factor_width`.

    The constant 1 keeps the terms of single modalities and of pairs. An absent modality has x_m = 0, which leaves
    row 0 of its factor, the bias. The product is computed in float32 also under autocast.
    """

    def __init__(self, config: LMFFusion, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        self.reduce = Tokens(
            {m: widths[m] for m in self.modalities},
            config.factor_width,
            config.dropout,
            after=partial(LayerNorm, config.factor_width),
        )
        shape = (config.rank, config.factor_width + 1, self.width)
        self.factors = nn.ParameterDict({m: nn.Parameter(torch.empty(shape)) for m in self.modalities})
        for factor_RDD in self.factors.values():
            for slice_DD in factor_RDD:  # per rank: the fans of the 3-D tensor would take the rank for a kernel size
                nn.init.xavier_normal_(slice_DD)
        self.rank_weights_1R = nn.Parameter(nn.init.xavier_normal_(torch.empty(1, config.rank)))
        self.bias_D = nn.Parameter(torch.zeros(self.width))

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        reduced_BMD = self.reduce(parts, present_BM)
        with torch.autocast(reduced_BMD.device.type, enabled=False):
            x_BMD = F.pad(at_least_single(reduced_BMD), (1, 0), value=1.0)
            product_RBD = torch.ones((), device=x_BMD.device)
            for x_BD, modality in zip(x_BMD.unbind(-2), self.modalities, strict=True):
                product_RBD = product_RBD * (x_BD.unsqueeze(-3) @ self.factors[modality])
            weights_R11 = self.rank_weights_1R.mT.unsqueeze(-1)
            return Fused((weights_R11 * product_RBD).sum(dim=-3) + self.bias_D.unsqueeze(-2))
