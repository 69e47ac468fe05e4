"""Linear layers of several members, and the gradients of their weights.

On a CPU with AVX-512, oneDNN multiplies wide float32 matrices up to twice as fast as MKL does on AMD processors (on
Intel's both are alike). torch reaches it matrix by matrix only, so those layers go through the members in turn, and
their gradients are made member by member. All others are batched products.

Shape suffixes: P members, N rows, D width in, O width out.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

Grad = Tensor | list[Tensor]  # of all members, (P, ...), or one for each
_APART = "grads_apart"  # attribute of a weight
_NARROWEST, _SMALLEST = 64, 2**15  # width, and numbers in a weight, from which oneDNN is faster


def take_grads(weight: Tensor) -> Grad | None:
    """Give away the gradients of a stacked weight (P, ...), wherever backward has left them; None if it has none."""
    apart, grad = vars(weight).pop(_APART, None), weight.grad
    weight.grad = None
    if apart and grad is not None:  # another operation has used the weight too
        torch._foreach_add_(apart, list(grad.unbind(0)))
    return apart or grad


def _add_apart(weight: Tensor, grads: list[Tensor]) -> None:
    """Leave a gradient for each member beside the weight: to stack them would cost as much as to compute them.

    A layer may be passed through several times in a step.
    """
    there = vars(weight).setdefault(_APART, grads)
    if there is not grads:
        torch._foreach_add_(there, grads)


class _Batched(torch.autograd.Function):
    """Linear layers as one batched product; gradients of weights come in the layout of the weights: none is copied."""

    @staticmethod
    def forward(ctx: Any, x_PND: Tensor, weight_POD: Tensor, bias_PO: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_PND, weight_POD)
        if bias_PO is None:
            return torch.bmm(x_PND, weight_POD.mT)
        return torch.baddbmm(bias_PO.unsqueeze(1), x_PND, weight_POD.mT)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad_PNO,), (x_PND, weight_POD) = grads, ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        grad_x = torch.bmm(grad_PNO, weight_POD) if needs_x else None
        grad_weight = torch.bmm(grad_PNO.mT, x_PND) if needs_weight else None
        return grad_x, grad_weight, grad_PNO.sum(1) if needs_bias else None


class _InTurn(torch.autograd.Function):
    """Linear layers of one member after another, by oneDNN."""

    @staticmethod
    def forward(ctx: Any, x_PND: Tensor, weight_POD: Tensor, bias_PO: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_PND, weight_POD)
        ctx.weight = weight_POD
        biases = [None] * len(x_PND) if bias_PO is None else bias_PO
        return torch.stack([_product(x, w, b) for x, w, b in zip(x_PND, weight_POD, biases, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad_PNO,), (x_PND, weight_POD) = grads, ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        if needs_weight:
            _add_apart(ctx.weight, [_product(g.mT, x.mT) for g, x in zip(grad_PNO, x_PND, strict=True)])
        grad_x = None
        if needs_x:
            grad_x = torch.stack([_product(g, w.mT) for g, w in zip(grad_PNO, weight_POD, strict=True)])
        return grad_x, None, grad_PNO.sum(1) if needs_bias else None


def member_linear(x_PND: Tensor, weight_POD: Tensor, bias_PO: Tensor | None) -> Tensor:
    """Apply each member's own linear layer: (P, N, O). `take_grads` gives the gradients of the weights."""
    function = _InTurn if _is_faster_in_turn(weight_POD) else _Batched
    out: Tensor = function.apply(x_PND, weight_POD, bias_PO)
    return out


def _product(x_ND: Tensor, weight_OD: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """Compute x W^T + b, (N, O), by oneDNN in full float32."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x_ND, weight_OD, bias_O, "none", [], "")
    return out


def _is_faster_in_turn(weight_POD: Tensor) -> bool:
    """Decide by shape and processor alone, so that a member's numbers are the same in every pack."""
    _, out, width = weight_POD.shape
    return (
        weight_POD.is_leaf
        and weight_POD.device.type == "cpu"
        and weight_POD.dtype == torch.float32
        and min(out, width) >= _NARROWEST
        and out * width >= _SMALLEST
        and _has_wide_onednn()
    )


@cache
def _has_wide_onednn() -> bool:
    """Tell whether this torch has the operation, and this processor the instructions that make it worth while."""
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return wide and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
