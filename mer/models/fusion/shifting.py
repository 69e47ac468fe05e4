"""TelME's attention-based modality shifting, over the modality tokens of each row (methods 5.3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer.config import ShiftingFusion
from mer.models.fusion.attention import Attention
from mer.models.fusion.contract import Fused, Fusion
from mer.models.fusion.inputs import Tokens

_NO_ZERO_DIVISION = 1e-6


class Shifting(Fusion):
    """The other modalities shift the guide (text, or the first modality) by at most `threshold` times its norm.

        a = Dropout(LayerNorm(MHA(x) + x))              x: tokens of the others; a: side by side
        g = ReLU(W1 [a; F]);  H = g * (W2 a)            F: the guide
        Z = Dropout(LayerNorm(F + min(threshold |F| / |H|, 1) H))

    A learned placeholder stands for an absent guide. If one of two others is absent, it is masked as a key and a
    placeholder takes its place in x, from where it reads the present one. If all others are absent there is no shift.
    """

    def __init__(self, config: ShiftingFusion, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        others = len(self.modalities) - 1
        # a single other needs none (absent, it means no shift), nor does a guide without others
        replaced = self.modalities if others > 1 else self.modalities[:others]
        self.tokens = Tokens({m: widths[m] for m in self.modalities}, self.width, config.dropout, placeholders=replaced)
        self.threshold = config.threshold
        self.norm = nn.LayerNorm(self.width)
        self.dropout = nn.Dropout(config.dropout)
        if others:
            self.attention = Attention(self.width, config.heads)
            self.attended_norm = nn.LayerNorm(self.width)
            self.gate = nn.Linear((others + 1) * self.width, self.width)
            self.shift = nn.Linear(others * self.width, self.width)

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor) -> Fused:
        tokens_BMD = self.tokens(parts, present_BM)
        guide_BD, others_BKD = tokens_BMD[:, 0], tokens_BMD[:, 1:]
        if not others_BKD.shape[1]:
            return Fused(self.dropout(self.norm(guide_BD)))
        attended_BKD = self.attention(others_BKD, others_BKD, present_BM[:, 1:]) + others_BKD
        attended_BD = self.dropout(self.attended_norm(attended_BKD)).flatten(1)
        gate_BD = self.gate(torch.cat([attended_BD, guide_BD], dim=1)).relu()
        shift_BD = (gate_BD * self.shift(attended_BD)).float()
        shift_B1, guide_B1 = _norm(shift_BD), _norm(guide_BD.float())
        # for a shift of zero length the quotient is huge, so the scale is 1 and nothing moves
        scale_B1 = (self.threshold * guide_B1 / (shift_B1 + _NO_ZERO_DIVISION)).clamp(max=1.0)
        shifted_B1 = present_BM[:, 1:].any(dim=1, keepdim=True)
        moved_BD = torch.where(shifted_B1, scale_B1 * shift_BD, 0.0)
        monitors = {
            "gate_open": (gate_BD > 0).float().mean(),
            "shift_scale": torch.where(shifted_B1, scale_B1, 0.0).sum() / shifted_B1.sum().clamp(min=1),
            "shift_length": _norm(moved_BD).mean(),
        }
        return Fused(
            self.dropout(self.norm(guide_BD + moved_BD)),
            monitors={name: value.detach() for name, value in monitors.items()},
        )


def _norm(x_BD: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x_BD, dim=1, keepdim=True)
