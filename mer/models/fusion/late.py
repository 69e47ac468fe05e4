"""Late fusion: one classifier per modality, whose log-probabilities are averaged (methods 5.6)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mer.config import LateFusion, TargetKind
from mer.models.dropout import Dropout
from mer.models.fusion.contract import Fused, Fusion
from mer.models.fusion.inputs import Tokens, mean_of_present
from mer.models.layers import Linear
from mer.tensor_math import at_least_single


class Late(Fusion):
    """logits = sum_m w_m log softmax(z_m), w a softmax of learned numbers over the modalities present in the row.

    Of numbers and of several labels logits = sum_m w_m z_m. z_m: LayerNorm-Dropout-Linear-GELU, then Dropout-Linear.
    h is the mean of the present modalities before their last Linear. `own_logits` are the z_m; the caller, who has the
    labels, adds the loss of each. An absent modality is left out of the average, so it needs no placeholder.
    """

    def __init__(self, config: LateFusion, widths: Mapping[str, int], classes: int, task: TargetKind = "class") -> None:
        super().__init__(config, widths)
        self.task = task
        self.tokens = Tokens({m: widths[m] for m in self.modalities}, self.width, config.dropout, after=nn.GELU)
        self.dropouts = nn.ModuleDict({m: Dropout(config.dropout) for m in self.modalities})
        self.heads = nn.ModuleDict({m: Linear(self.width, classes) for m in self.modalities})
        # a single modality has weight 1, so there is nothing to learn
        self.weight_logits_M = nn.Parameter(torch.zeros(len(self.modalities))) if len(self.modalities) > 1 else None

    def fuse(self, parts: Mapping[str, Tensor], present_BM: Tensor, counted_B: Tensor | None) -> Fused:
        tokens_BMD = self.tokens(parts, present_BM)
        own = [self.heads[m](self.dropouts[m](tokens_BMD[..., i, :])) for i, m in enumerate(self.modalities)]
        own_BMC = at_least_single(torch.stack(own, dim=-2))
        said_BMC = own_BMC.log_softmax(dim=-1) if self.task == "class" else own_BMC
        said_BMC = torch.where(present_BM.unsqueeze(-1), said_BMC, 0.0)
        none_M = own_BMC.new_zeros(*own_BMC.shape[:-3], 1)
        learned_M = none_M if self.weight_logits_M is None else self.weight_logits_M
        weights_BM = torch.where(present_BM, learned_M.unsqueeze(-2), torch.finfo(own_BMC.dtype).min).softmax(dim=-1)
        everywhere_M = learned_M.detach().softmax(dim=-1)
        return Fused(
            mean_of_present(tokens_BMD, present_BM),
            monitors={f"late_weight_{m}": everywhere_M[..., i] for i, m in enumerate(self.modalities)},
            logits_BC=(weights_BM.unsqueeze(-1) * said_BMC).sum(dim=-2),
            own_logits={m: (own_BMC[..., i, :], present_BM[..., i]) for i, m in enumerate(self.modalities)},
        )
