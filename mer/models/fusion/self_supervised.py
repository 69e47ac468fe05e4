"""Modalities side by side, and for each a classifier whose labels are made in training: Yu et al. 2021 (Self-MM)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mer.config import SelfMMFusion
from mer.models.dropout import Dropout
from mer.models.fusion.contract import Fused, Fusion
from mer.models.fusion.inputs import Tokens
from mer.models.layers import Linear
from mer.tensor_math import at_least_single


class SelfSupervised(Fusion):
    """The fused vector predicts; what a modality says by itself only shapes the token that both are made of.

        t_m = GELU(Linear(Dropout(LayerNorm(m))));  h = GELU(Linear(Dropout(all t_m side by side)))
        f_m = GELU(Linear(Dropout(t_m)));  z_m = Linear(GELU(Linear(f_m)))

    `own_logits` are the z_m, `own_vectors` the f_m. Who keeps the training rows' labels of single modalities makes the
    losses of the z_m, and moves the labels by where h and f_m lie (`mer.losses.unimodal`). A learned placeholder stands
    for the token of an absent modality. With `unimodal_weight: 0` there are no f_m and z_m.
    """

    def __init__(self, config: SelfMMFusion, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(config, widths)
        wide, inner = len(self.modalities) * self.width, config.own_width
        self.tokens = Tokens(
            {m: widths[m] for m in self.modalities},
            self.width,
            config.dropout,
            placeholders=self.modalities if len(self.modalities) > 1 else (),
            after=nn.GELU,
        )
        self.join = nn.Sequential(Dropout(config.dropout), Linear(wide, self.width), nn.GELU())
        taught = self.modalities if config.unimodal_weight else ()
        self.own = nn.ModuleDict(
            {m: nn.Sequential(Dropout(config.dropout), Linear(self.width, inner), nn.GELU()) for m in taught}
        )
        self.heads = nn.ModuleDict(
            {m: nn.Sequential(Linear(inner, inner), nn.GELU(), Linear(inner, classes)) for m in taught}
        )

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        tokens_BMD = self.tokens(parts, present_BM)
        h_BD = self.join(tokens_BMD.flatten(-2))
        vectors = {m: own(tokens_BMD[..., self.modalities.index(m), :]) for m, own in self.own.items()}
        return Fused(
            h_BD,
            own_logits={
                m: (at_least_single(head(vectors[m])), present_BM[..., self.modalities.index(m)])
                for m, head in self.heads.items()
            },
            own_vectors={m: at_least_single(vector_BD) for m, vector_BD in vectors.items()},
        )
