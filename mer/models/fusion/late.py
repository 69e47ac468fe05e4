"""Late fusion: one classifier per modality, whose log-probabilities are averaged (methods 5.6)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer.config import LateFusion
from mer.models.fusion.contract import Fused, Fusion
from mer.models.fusion.inputs import Tokens, mean_of_present


class Late(Fusion):
    """logits = sum_m w_m log softmax(z_m), w a softmax of learned numbers over the modalities present in the row.

    z_m: LayerNorm-Dropout-Linear-GELU, then Dropout-Linear. h is the mean of the present modalities before their last
    Linear. `own_logits` are the z_m; the caller, who has the labels, adds the cross-entropy of each. An absent modality
    is left out of the average, so it needs no placeholder.
    """

    def __init__(self, config: LateFusion, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(config, widths)
        self.tokens = Tokens({m: widths[m] for m in self.modalities}, self.width, config.dropout, after=nn.GELU)
        self.dropout = nn.Dropout(config.dropout)
        self.heads = nn.ModuleDict({m: nn.Linear(self.width, classes) for m in self.modalities})
        # a single modality has weight 1, so there is nothing to learn
        self.weight_logits_M = nn.Parameter(torch.zeros(len(self.modalities))) if len(self.modalities) > 1 else None

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor) -> Fused:
        tokens_BMD = self.tokens(parts, present_BM)
        own_BMC = torch.stack(
            [head(self.dropout(tokens_BMD[:, i])) for i, head in enumerate(self.heads.values())], dim=1
        ).float()
        log_probability_BMC = torch.where(present_BM[:, :, None], own_BMC.log_softmax(dim=2), 0.0)
        learned_M = own_BMC.new_zeros(1) if self.weight_logits_M is None else self.weight_logits_M
        weights_BM = torch.where(present_BM, learned_M, torch.finfo(torch.float32).min).softmax(dim=1)
        everywhere_M = learned_M.detach().softmax(dim=0)
        return Fused(
            mean_of_present(tokens_BMD, present_BM),
            monitors={f"late_weight_{m}": weight for m, weight in zip(self.modalities, everywhere_M, strict=True)},
            logits_BC=(weights_BM[:, :, None] * log_probability_BMC).sum(dim=1),
            own_logits={m: (own_BMC[:, i], present_BM[:, i]) for i, m in enumerate(self.modalities)},
        )
