"""Layers of one model, or of several models of one structure at once.

Weights with a member axis in front belong to P models: (P, O, D) maps x (P, ..., D) to (P, ..., O). A model whose
weights are stacked so computes all members of a pack by the code of one model. Each member's arithmetic is its own.

Shape suffixes: P members, N rows, D inputs, O outputs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Number = float | Tensor  # a setting; of several models (P,)


class _MemberLinear(torch.autograd.Function):
    """Linear layers of several members; gradients of weights come in the layout of the weights, so none is copied."""

    @staticmethod
    def forward(ctx: Any, x_PND: Tensor, weight_POD: Tensor, bias_PO: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_PND, weight_POD)
        ctx.has_bias = bias_PO is not None
        if bias_PO is None:
            return torch.bmm(x_PND, weight_POD.mT)
        return torch.baddbmm(bias_PO.unsqueeze(1), x_PND, weight_POD.mT)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad_PNO,), (x_PND, weight_POD) = grads, ctx.saved_tensors
        grad_x = torch.bmm(grad_PNO, weight_POD) if ctx.needs_input_grad[0] else None
        return grad_x, torch.bmm(grad_PNO.mT, x_PND), grad_PNO.sum(1) if ctx.has_bias else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply a linear layer (O, D) to x (..., D), or each member's own (P, O, D) to x (P, ..., D)."""
    if weight.ndim == 2:
        return F.linear(x, weight, bias)
    out: Tensor
    if x.ndim == 3:
        out = _MemberLinear.apply(x, weight, bias)
        return out
    out = _MemberLinear.apply(x.flatten(1, -2), weight, bias)
    return out.unflatten(1, x.shape[1:-1])


class Linear(nn.Linear):
    """nn.Linear, of one model or of several."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class LayerNorm(nn.LayerNorm):
    """nn.LayerNorm over the last axis, of one model or of several."""

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.ndim == 1:
            return super().forward(x)
        return F.layer_norm(x, self.normalized_shape, eps=self.eps) * beside(self.weight, x) + beside(self.bias, x)


def beside(vectors: Tensor, x: Tensor) -> Tensor:
    """Shape a vector (D), or one for each member (P, D), to act on the last axis of x (..., D) or (P, ..., D)."""
    return vectors if vectors.ndim == 1 else vectors.view(len(vectors), *[1] * (x.ndim - 2), -1)


def each(number: Number, x: Tensor) -> Number:
    """Shape a setting to act on x: a number stays; one for each member (P,) gets the axes of x (P, ...)."""
    return number.view(-1, *[1] * (x.ndim - 1)) if isinstance(number, Tensor) else number
