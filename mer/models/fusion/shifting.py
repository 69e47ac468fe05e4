"""TelME's attention-based modality shifting, over the modality tokens of each row (methods 5.3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mer.config import ShiftingFusion
from mer.models.dropout import Dropout
from mer.models.fusion.attention import Attention
from mer.models.fusion.contract import Fused, Fusion, mean_of_rows
from mer.models.fusion.inputs import Tokens
from mer.models.layers import LayerNorm, Linear, each
from mer.tensor_math import at_least_single, masked_mean

_NO_ZERO_DIVISION = 1e-6


class Shifting(Fusion):
    """The other modalities shift the guide (text, or the first modality) by at most `threshold` times its norm.

        a = Dropout(LayerNorm(MHA(x) + x))              x: tokens of the others; a: side by side
        g = ReLU(W1 [a; F]);  H = g * (W2 a)            F: the guide
        Z = Dropout(LayerNorm(F + min(threshold |F| / |H|, 1) H))

    A learned placeholder stands for an absent guide. If one of two others is absent, it is masked as a key and a
    placeholder takes its place in x, from where it reads the present one. If all others are absent there is no shift.
    """

    varies = ("threshold",)

    def __init__(self, config: ShiftingFusion, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        others = len(self.modalities) - 1
        # a single other needs none (absent, it means no shift), nor does a guide without others
        replaced = self.modalities if others > 1 else self.modalities[:others]
        self.tokens = Tokens({m: widths[m] for m in self.modalities}, self.width, config.dropout, placeholders=replaced)
        self.threshold = config.threshold
        self.norm = LayerNorm(self.width)
        self.dropout = Dropout(config.dropout)
        if others:
            self.attention = Attention(self.width, config.heads)
            self.attended_norm = LayerNorm(self.width)
            self.attended_dropout = Dropout(config.dropout)
            self.gate = Linear((others + 1) * self.width, self.width)
            self.shift = Linear(others * self.width, self.width)

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        tokens_BMD = self.tokens(parts, present_BM)
        guide_BD, others_BKD = tokens_BMD[..., 0, :], tokens_BMD[..., 1:, :]
        if not others_BKD.shape[-2]:
            return Fused(self.dropout(self.norm(guide_BD)))
        attended_BKD = self.attention(others_BKD, others_BKD, present_BM[..., 1:]) + others_BKD
        attended_BD = self.attended_dropout(self.attended_norm(attended_BKD)).flatten(-2)
        gate_BD = self.gate(torch.cat([attended_BD, guide_BD], dim=-1)).relu()
        shift_BD = at_least_single(gate_BD * self.shift(attended_BD))
        shift_B1, guide_B1 = _norm(shift_BD), _norm(at_least_single(guide_BD))
        # for a shift of zero length the quotient is huge, so the scale is 1 and nothing moves
        scale_B1 = (each(self.threshold, guide_B1) * guide_B1 / (shift_B1 + _NO_ZERO_DIVISION)).clamp(max=1.0)
        shifted_B1 = present_BM[..., 1:].any(dim=-1, keepdim=True)
        shifted_B = shifted_B1.squeeze(-1)
        moved_BD = torch.where(shifted_B1, scale_B1 * shift_BD, 0.0)
        monitors = {
            "gate_open": mean_of_rows((gate_BD > 0).to(scale_B1.dtype).mean(dim=-1), counted_B),
            "shift_scale": masked_mean(scale_B1.squeeze(-1), shifted_B if counted_B is None else shifted_B & counted_B),
            "shift_length": mean_of_rows(_norm(moved_BD).squeeze(-1), counted_B),
        }
        return Fused(
            self.dropout(self.norm(guide_BD + moved_BD)),
            monitors={name: value.detach() for name, value in monitors.items()},
        )


def _norm(x_BD: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x_BD, dim=-1, keepdim=True)
