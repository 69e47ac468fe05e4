"""Unit vectors, cosines, class means and masked sums that the contrastive losses share. All in fp32."""

# Suffixes: N batch rows, M compared points, C classes, D width.

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mer.tensor_math import at_least_single

_SHORTEST = 1e-8
LANES = 32  # numbers that a CPU computes at once, at most: a rest is computed one by one, with other last digits
Scalar = float | Tensor  # a number, or one for each member of a pack, shaped to broadcast: (P, 1, 1)


def full_precision(like: Tensor) -> torch.autocast:
    """Turn autocast off: at temperature 0.05, exp(-1/t) is 0 in half precision (methods 1.6)."""
    return torch.autocast(like.device.type, enabled=False)


def unit(x_ND: Tensor) -> Tensor:
    """Scale rows to length 1, fp32. A row of zeros stays zero and gets no gradient (1/eps would be huge)."""
    x_ND = at_least_single(x_ND)
    length_N1 = x_ND.norm(dim=-1, keepdim=True)
    return x_ND / length_N1.where(length_N1 > _SHORTEST, torch.inf)


def cosine(a_ND: Tensor, b_MD: Tensor) -> Tensor:
    """Compute the cosine of every row of a with every row of b, (N, M) in [-1, 1]; 0 for a row of zeros."""
    with full_precision(a_ND):
        return unit(a_ND) @ unit(b_MD).mT


def similarity(a_ND: Tensor, b_MD: Tensor, temperature: Scalar) -> Tensor:
    """Compute ((1 + cos) / 2) / temperature, (N, M): half the slope of SupCon's cos / temperature (methods 1.3)."""
    return (1 + cosine(a_ND, b_MD)) / (2 * temperature)


def class_means(x_ND: Tensor, y_N: Tensor, num_classes: int, there_N: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Average the rows of each class: (C, D) fp32, zero for an absent class; and count them: (C,) int64."""
    member_NC = F.one_hot(y_N, num_classes)
    if there_N is not None:
        member_NC = member_NC * there_N.unsqueeze(-1)
    count_C = member_NC.sum(-2)
    with full_precision(x_ND):
        x_ND = at_least_single(x_ND)
        return member_NC.to(x_ND.dtype).mT @ x_ND / count_C.clamp(min=1).unsqueeze(-1), count_C


def masked_logsumexp(scores_NM: Tensor, mask_NM: Tensor) -> Tensor:
    """Compute each row's log-sum-exp where the mask is True, (N,); -inf without gradient for an empty mask."""
    return scores_NM.masked_fill(~mask_NM, -torch.inf).logsumexp(dim=-1)
