"""Modalities side by side, and for each a classifier whose labels are made in training: Yu et al. 2021 (Self-MM)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer.config import SelfMMFusion
from mer.models.dropout import Dropout
from mer.models.fusion.contract import Fused, Fusion
from mer.models.fusion.inputs import ModalityInput, Tokens
from mer.models.layers import LayerNorm, Linear
from mer.tensor_math import at_least_single


class SelfSupervised(Fusion):
    """The fused vector predicts; the vector of a modality, and what it says by itself, only shape what comes before.

        h = GELU(Linear(Dropout(all m side by side)));  f_m = GELU(Linear(Dropout(m)));  z_m = Linear(GELU(Linear(f_m)))

    `own_logits` are the z_m, `own_vectors` the f_m. Who keeps the training rows' labels of single modalities makes the
    losses of the z_m, and moves the labels by where h and f_m lie (`mer.losses.unimodal`). Each m is normalised first.
    A learned placeholder stands for an absent modality in h. With `unimodal_weight: 0` there are no f_m and z_m.
    """

    def __init__(self, config: SelfMMFusion, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(config, widths)
        alone = len(self.modalities) == 1
        self.inputs = nn.ModuleDict(
            {m: ModalityInput(LayerNorm(widths[m]), widths[m], placeholder=not alone) for m in self.modalities}
        )
        self.join = nn.Sequential(Dropout(config.dropout), Linear(sum(widths.values()), self.width), nn.GELU())
        taught, inner = self.modalities if config.unimodal_weight else (), config.own_width
        self.own = Tokens({m: widths[m] for m in taught}, inner, config.dropout, after=nn.GELU)
        self.heads = nn.ModuleDict(
            {m: nn.Sequential(Linear(inner, inner), nn.GELU(), Linear(inner, classes)) for m in taught}
        )

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        read = [self.inputs[m](parts[m], present_BM[..., i]) for i, m in enumerate(self.modalities)]
        h_BD = self.join(torch.cat(read, dim=-1))
        if not len(self.heads):
            return Fused(h_BD)
        own_BMD = self.own(parts, present_BM)
        said = {m: self.heads[m](own_BMD[..., i, :]) for i, m in enumerate(self.modalities)}
        return Fused(
            h_BD,
            own_logits={m: (at_least_single(said[m]), present_BM[..., i]) for i, m in enumerate(self.modalities)},
            own_vectors={m: at_least_single(own_BMD[..., i, :]) for i, m in enumerate(self.modalities)},
        )
