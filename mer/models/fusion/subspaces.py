"""Shared and private subspaces of modalities, Hazarika et al. 2020 (MISA, arXiv 2005.03545)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from mer.config import MISAFusion
from mer.models.fusion.attention import SelfLayer
from mer.models.fusion.contract import Fused, Fusion
from mer.models.fusion.inputs import Tokens
from mer.models.fusion.subspace_losses import difference, discrepancy, reconstruction
from mer.models.layers import LayerNorm, Linear, Number
from mer.tensor_math import at_least_single


class Subspaces(Fusion):
    """Every modality is seen twice: by an encoder of its own, and by one that all share; six tokens then meet.

        x_m = LayerNorm(ReLU(Linear(m)));  p_m = sigmoid(Linear_m(x_m));  s_m = sigmoid(Linear(x_m))
        h = Linear of all p_m, s_m side by side after a transformer layer over them

    Losses, beside that of the task: similarity (the s_m of two modalities have like moments), difference (p_m and s_m,
    and p_m of two modalities, are orthogonal over the batch), reconstruction (Linear_m(p_m + s_m) gives x_m). Only rows
    that have the modalities in question count. An absent modality is masked as a key, and is zero in the last Linear.
    """

    varies = ("similarity_weight", "difference_weight", "reconstruction_weight")

    def __init__(self, config: MISAFusion, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        inner = config.subspace_width
        self.project = Tokens(
            {m: widths[m] for m in self.modalities},
            inner,
            config.dropout,
            after=lambda: nn.Sequential(nn.ReLU(), LayerNorm(inner)),
        )
        self.private = nn.ModuleDict({m: _encoder(inner) for m in self.modalities})
        self.shared = _encoder(inner)
        self.layer = SelfLayer(inner, config.heads, config.dropout)
        self.out = Linear(2 * len(self.modalities) * inner, self.width)
        self.weighs = {name: getattr(config, name) > 0 for name in self.varies}
        self.similarity_weight: Number = config.similarity_weight
        self.difference_weight: Number = config.difference_weight
        self.reconstruction_weight: Number = config.reconstruction_weight
        rebuilt = self.modalities if self.weighs["reconstruction_weight"] else ()
        self.rebuild = nn.ModuleDict({m: Linear(inner, inner) for m in rebuilt})

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        x_BMD = self.project(parts, present_BM)
        private = [self.private[m](x_BMD[..., i, :]) for i, m in enumerate(self.modalities)]
        private_BMD, shared_BMD = torch.stack(private, dim=-2), self.shared(x_BMD)
        there_BK = torch.cat([present_BM, present_BM], dim=-1)
        tokens_BKD = torch.cat([private_BMD, shared_BMD], dim=-2)
        met_BKD = torch.where(there_BK.unsqueeze(-1), self.layer(tokens_BKD, there_BK), 0.0)
        losses = {}
        if self.training:
            counts_BM = present_BM if counted_B is None else present_BM & counted_B.unsqueeze(-1)
            with torch.autocast(x_BMD.device.type, enabled=False):
                x_BMD, private_BMD, shared_BMD = map(at_least_single, (x_BMD, private_BMD, shared_BMD))
                losses = self._losses(x_BMD, private_BMD, shared_BMD, counts_BM)
        return Fused(self.out(met_BKD.flatten(-2)), losses=losses)

    def _losses(self, x_BMD: Tensor, private_BMD: Tensor, shared_BMD: Tensor, counts_BM: Tensor) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        pairs = list(combinations(range(len(self.modalities)), 2))
        counts, private, shared = counts_BM.unbind(-1), private_BMD.unbind(-2), shared_BMD.unbind(-2)
        if self.weighs["similarity_weight"] and pairs:
            told = [discrepancy(shared[i], shared[j], counts[i] & counts[j]) for i, j in pairs]
            losses["similarity"] = self.similarity_weight * torch.stack(told).mean(0)
        if self.weighs["difference_weight"]:
            told = [difference(p_BD, s_BD, own_B) for p_BD, s_BD, own_B in zip(private, shared, counts, strict=True)]
            told += [difference(private[i], private[j], counts[i] & counts[j]) for i, j in pairs]
            losses["difference"] = self.difference_weight * torch.stack(told).sum(0)
        if self.weighs["reconstruction_weight"]:
            told = [
                reconstruction(self.rebuild[m](private[i] + shared[i]), x_BMD[..., i, :], counts[i])
                for i, m in enumerate(self.modalities)
            ]
            losses["reconstruction"] = self.reconstruction_weight * torch.stack(told).mean(0)
        return losses


def _encoder(width: int) -> nn.Sequential:
    return nn.Sequential(Linear(width, width), nn.Sigmoid())
