"""Unit vectors, cosines, class means and masked sums that the contrastive losses share. All in fp32."""

# Suffixes: N batch rows, M compared points, C classes, D width.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mer.tensor_math import at_least_single

_SHORTEST = 1e-8
_FAR = 1e30  # taken from scores that a mask leaves out: their share of a softmax is exactly 0
LANES = 32  # numbers that a CPU computes at once, at most: a rest is computed one by one, with other last digits
Scalar = float | Tensor  # a number, or one for each member of a pack, shaped to broadcast: (P, 1, 1)


def full_precision(like: Tensor) -> torch.autocast:
    """Turn autocast off: at temperature 0.05, exp(-1/t) is 0 in half precision (methods 1.6)."""
    return torch.autocast(like.device.type, enabled=False)


class _Unit(torch.autograd.Function):
    """Rows at length 1; the gradient is what remains of the rows' own once their radial part is taken away."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor) -> Tensor:
        length_N1 = torch.linalg.vector_norm(x_ND, dim=-1, keepdim=True)
        inverse_N1 = length_N1.reciprocal().masked_fill_(length_N1 <= _SHORTEST, 0.0)
        unit_ND = x_ND * inverse_N1
        ctx.save_for_backward(unit_ND, inverse_N1)
        return unit_ND

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        unit_ND, inverse_N1 = ctx.saved_tensors
        radial_N1 = (grads[0] * unit_ND).sum(-1, keepdim=True)
        return (unit_ND * -radial_N1).add_(grads[0]).mul_(inverse_N1)


def unit(x_ND: Tensor) -> Tensor:
    """Scale rows to length 1, fp32. A row of zeros stays zero and gets no gradient (1/eps would be huge)."""
    out: Tensor = _Unit.apply(at_least_single(x_ND))
    return out


def cosine(a_ND: Tensor, b_MD: Tensor) -> Tensor:
    """Compute the cosine of every row of a with every row of b, (N, M) in [-1, 1]; 0 for a row of zeros."""
    with full_precision(a_ND):
        return unit(a_ND) @ unit(b_MD).mT


def similarity(a_ND: Tensor, b_MD: Tensor, temperature: Scalar) -> Tensor:
    """Compute ((1 + cos) / 2) / temperature, (N, M): half the slope of SupCon's cos / temperature (methods 1.3)."""
    return (1 + cosine(a_ND, b_MD)) / (2 * temperature)


def similarity_to_all(points_MD: Tensor, rows: int, temperature: Scalar) -> Tensor:
    """Compute `similarity` of the first `rows` points to all M, (rows, M), less the constant 1 / (2 temperature).

    Losses that compare the similarities of a row do not change with the constant.
    """
    with full_precision(points_MD):
        unit_MD = unit(points_MD)
        return unit_MD[..., :rows, :] @ unit_MD.mT * (0.5 / temperature)


def class_means(x_ND: Tensor, y_N: Tensor, num_classes: int, there_N: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Average the rows of each class: (C, D) fp32, zero for an absent class; and count them: (C,) int64."""
    member_NC = F.one_hot(y_N, num_classes)
    if there_N is not None:
        member_NC = member_NC * there_N.unsqueeze(-1)
    count_C = member_NC.sum(-2)
    with full_precision(x_ND):
        x_ND = at_least_single(x_ND)
        return member_NC.to(x_ND.dtype).mT @ x_ND / count_C.clamp(min=1).unsqueeze(-1), count_C


class _MaskedLogSumExp(torch.autograd.Function):
    """Log-sum-exp over a mask by one softmax, which is also its gradient.

    torch's logsumexp of scores filled with -inf costs four times as much on a CPU, forward and backward.
    """

    @staticmethod
    def forward(ctx: Any, scores_NM: Tensor, mask_NM: Tensor) -> Tensor:
        penalty_NM = mask_NM.view(torch.uint8).to(scores_NM.dtype).sub_(1).mul_(_FAR)
        penalty_NM = penalty_NM.add(scores_NM) if penalty_NM.shape != scores_NM.shape else penalty_NM.add_(scores_NM)
        softmax_NM = penalty_NM.softmax(dim=-1)
        top_N = penalty_NM.amax(dim=-1)
        empty_N = top_N < -_FAR / 2
        ctx.save_for_backward(softmax_NM, empty_N)
        return (top_N - softmax_NM.amax(dim=-1).log()).masked_fill_(empty_N, -torch.inf)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        softmax_NM, empty_N = ctx.saved_tensors
        return softmax_NM * grads[0].masked_fill(empty_N, 0.0).unsqueeze(-1), None


def masked_logsumexp(scores_NM: Tensor, mask_NM: Tensor) -> Tensor:
    """Compute each row's log-sum-exp where the mask is True, (N,); -inf without gradient for an empty mask.

    A NaN in a row makes the row's result NaN, masked or not.
    """
    out: Tensor = _MaskedLogSumExp.apply(at_least_single(scores_NM), mask_NM)
    return out
