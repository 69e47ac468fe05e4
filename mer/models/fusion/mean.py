"""The mean of the modalities: every one of them has the same say (a bar for fusions that weigh)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mer.config import MeanFusion
from mer.models.fusion.contract import Fused, Fusion
from mer.models.fusion.inputs import Tokens, mean_of_present


class Mean(Fusion):
    """LayerNorm-Dropout-Linear-GELU per modality, then the mean over those that are present in the row."""

    def __init__(self, config: MeanFusion, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        self.tokens = Tokens({m: widths[m] for m in self.modalities}, self.width, config.dropout, after=nn.GELU)

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        return Fused(mean_of_present(self.tokens(parts, present_BM), present_BM))
