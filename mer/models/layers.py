"""Layers of one model, or of several models of one structure at once.

Weights with a member axis in front belong to P models: (P, O, D) maps x (P, ..., D) to (P, ..., O). A model whose
weights are stacked so computes all members of a pack by the code of one model. Each member's arithmetic is its own.

Shape suffixes: P members, N rows, D inputs, O outputs.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mer.models.member_linear import member_linear

Number = float | Tensor  # a setting; of several models (P,)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply a linear layer (O, D) to x (..., D), or each member's own (P, O, D) to x (P, ..., D)."""
    if weight.ndim == 2:
        return F.linear(x, weight, bias)
    if x.ndim == 3:
        return member_linear(x, weight, bias)
    return member_linear(x.flatten(1, -2), weight, bias).unflatten(1, x.shape[1:-1])


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
