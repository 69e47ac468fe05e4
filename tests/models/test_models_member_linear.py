"""Linear layers of several members: both ways to compute them give the same numbers and the same gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mer.models import member_linear
from mer.models.layers import linear
from mer.models.member_linear import take_grads

MEMBERS, ROWS, WIDE = 3, 32, 192
Way = Callable[..., Any]
WAYS = [
    pytest.param(member_linear._Batched.apply, id="batched"),
    pytest.param(
        member_linear._InTurn.apply,
        id="in-turn",
        marks=pytest.mark.skipif(not member_linear._has_wide_onednn(), reason="needs oneDNN with AVX-512"),
    ),
]


def tensors() -> tuple[Tensor, Tensor, Tensor]:
    """x (P, N, D), weight (P, O, D) and bias (P, O), float32 leaves."""
    torch.manual_seed(0)
    shapes = ((MEMBERS, ROWS, WIDE), (MEMBERS, WIDE, WIDE), (MEMBERS, WIDE))
    x, weight, bias = (torch.randn(*shape).requires_grad_() for shape in shapes)
    return x, weight, bias


def gradients(loss: Callable[..., Tensor], *leaves: Tensor) -> list[Tensor]:
    """Gradients of a loss in float64, by torch alone."""
    doubles = [leaf.detach().double().requires_grad_() for leaf in leaves]
    loss(*doubles).backward()
    return [leaf.grad for leaf in doubles if leaf.grad is not None]


def taken(weight: Tensor) -> Tensor:
    grad = take_grads(weight)
    assert grad is not None
    return torch.stack(grad) if isinstance(grad, list) else grad


def assert_near(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-3)


def plain(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x @ weight.mT + bias.unsqueeze(1)


@pytest.mark.parametrize("way", WAYS)
def test_gradients_are_those_of_a_plain_product(way: Way) -> None:
    x, weight, bias = tensors()
    out = way(x, weight, bias)
    assert_near(out, plain(x, weight, bias).double())
    out.square().sum().backward()
    of_x, of_weight, of_bias = gradients(lambda *leaves: plain(*leaves).square().sum(), x, weight, bias)
    for own, wanted in ((x.grad, of_x), (bias.grad, of_bias), (taken(weight), of_weight)):
        assert own is not None
        assert_near(own, wanted)
    assert take_grads(weight) is None, "they are given away once"


@pytest.mark.parametrize("way", WAYS)
def test_a_weight_that_is_used_twice_gets_the_sum(way: Way) -> None:
    """By the same layer again, and by another operation, whose gradient torch keeps in `grad`."""

    def loss(x: Tensor, weight: Tensor, bias: Tensor, layer: Way = plain) -> Tensor:
        once = layer(x, weight, bias)
        return layer(once, weight, bias).square().sum() * 1e-4 + weight.square().sum()

    x, weight, bias = tensors()
    loss(x, weight, bias, way).backward()
    assert_near(taken(weight), gradients(loss, x, weight, bias)[1])
    assert weight.grad is None and take_grads(weight) is None


@pytest.mark.parametrize("way", WAYS)
def test_a_frozen_weight_gathers_no_gradient(way: Way) -> None:
    """Nobody would take it away: it would be added to in every step."""
    x, weight, bias = tensors()
    weight.requires_grad_(False), bias.requires_grad_(False)
    way(x, weight, bias).sum().backward()
    assert x.grad is not None and bias.grad is None and take_grads(weight) is None


def test_a_layer_reads_rows_of_any_number_of_axes() -> None:
    x, weight, bias = tensors()
    several = linear(x.unflatten(1, (4, -1)), weight, bias)
    assert torch.equal(several.flatten(1, 2), linear(x, weight, bias))
