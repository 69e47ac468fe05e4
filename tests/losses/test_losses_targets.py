"""Losses on numbers and on several labels against slow literal versions, one number at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from mer.config import LossConfig
from mer.losses import Frequency, Outputs, Spread, build_target_objective
from mer.losses.targets import multilabel_loss, positive_weights, regression_loss

SCALE = torch.tensor([2.0, 30.0, 0.5])
KINDS = ("mse", "mae", "huber", "ccc")


def batch(rows: int = 20, missing: float = 0.2, dtype: torch.dtype = torch.float64):
    torch.manual_seed(rows)
    outputs = (torch.randn(rows, 3, dtype=dtype) * SCALE + 5).requires_grad_()
    y = torch.randn(rows, 3, dtype=torch.float32) * SCALE + 4
    y[torch.rand(rows, 3) < missing] = torch.nan
    return outputs, y


def literal(outputs, y, kind: str, delta: float) -> float:
    """One number at a time, in plain Python."""
    gaps, losses = [], []
    for t in range(3):
        told = zip(outputs[:, t].tolist(), y[:, t].tolist(), strict=True)
        pairs = [(o / float(SCALE[t]), v / float(SCALE[t])) for o, v in told if not math.isnan(v)]
        gaps += [a - b for a, b in pairs]
        if pairs:
            n = len(pairs)
            mx, my = sum(a for a, _ in pairs) / n, sum(b for _, b in pairs) / n
            vx, vy = sum((a - mx) ** 2 for a, _ in pairs) / n, sum((b - my) ** 2 for _, b in pairs) / n
            cov = sum((a - mx) * (b - my) for a, b in pairs) / n
            losses.append(1 - 2 * cov / (vx + vy + (mx - my) ** 2))
    if kind == "ccc":
        return sum(losses) / len(losses)
    of = {
        "mse": lambda g: g * g,
        "mae": abs,
        "huber": lambda g: 0.5 * g * g if abs(g) <= delta else delta * (abs(g) - 0.5 * delta),
    }[kind]
    return sum(map(of, gaps)) / len(gaps)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("delta", [0.3, 1.0])
def test_a_loss_of_numbers_is_its_definition(kind, delta):
    outputs, y = batch()
    found = regression_loss(outputs, y, SCALE, kind=kind, delta=delta)
    assert found.item() == pytest.approx(literal(outputs.detach(), y.double(), kind, delta), abs=1e-12)


def test_without_gaps_they_are_pytorchs():
    outputs, y = batch(missing=0.0)
    x, target = outputs / SCALE, y.double() / SCALE
    for kind, theirs in (("mse", F.mse_loss), ("mae", F.l1_loss)):
        torch.testing.assert_close(regression_loss(outputs, y, SCALE, kind=kind), theirs(x, target))
    mine = regression_loss(outputs, y, SCALE, kind="huber", delta=0.7)
    torch.testing.assert_close(mine, F.huber_loss(x, target, delta=0.7))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_row_does_not_say_has_no_gradient_and_the_rest_has(kind):
    outputs, y = batch()
    (gradient,) = torch.autograd.grad(regression_loss(outputs, y, SCALE, kind=kind), outputs)
    assert gradient.isfinite().all() and ((gradient == 0) == y.isnan()).all()
    few = outputs[:5].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: regression_loss(x, y[:5], SCALE, kind=kind), [few])


@pytest.mark.parametrize("kind", KINDS)
def test_degenerate_batches_have_a_finite_loss_and_gradient(kind):
    y = torch.full((4, 3), torch.nan)
    for rows in (y, torch.zeros(1, 3), torch.zeros(4, 3)):
        outputs = torch.zeros(len(rows), 3, requires_grad=True)
        loss = regression_loss(outputs, rows, SCALE, kind=kind)
        loss.backward()
        assert loss.isfinite() and outputs.grad.isfinite().all()
    assert regression_loss(torch.ones(4, 3, requires_grad=True), y, SCALE, kind=kind).item() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_taken_one_by_one_and_filling_rows_do_not_count(kind):
    members = [batch(rows) for rows in (12, 9, 12)]
    scales = torch.stack([SCALE, 2 * SCALE, SCALE])
    deltas = [1.0, 0.2, 0.5]
    alone = [regression_loss(o, y, s, kind=kind, delta=d) for (o, y), s, d in zip(members, scales, deltas, strict=True)]
    outputs, y = torch.zeros(3, 12, 3).double(), torch.full((3, 12, 3), 7.0)
    there = torch.zeros(3, 12, dtype=torch.bool)
    for k, (own, truth) in enumerate(members):
        outputs[k, : len(own)], y[k, : len(own)], there[k, : len(own)] = own.detach(), truth, True
    delta = torch.tensor(deltas, dtype=torch.float64).view(-1, 1, 1)
    together = regression_loss(outputs, y, scales, kind=kind, delta=delta, there_N=there)
    torch.testing.assert_close(together, torch.stack(alone).detach(), rtol=1e-12, atol=1e-12)


def test_half_precision_is_widened():
    outputs, y = batch(dtype=torch.float16)
    assert regression_loss(outputs, y, SCALE, kind="ccc").dtype == torch.float32


# -- several labels --------------------------------------------------------------------------------------------------


def labels(rows: int = 20, missing: float = 0.2):
    torch.manual_seed(rows)
    logits = (4 * torch.randn(rows, 3).double()).requires_grad_()
    y = (torch.rand(rows, 3) < 0.4).float()
    y[torch.rand(rows, 3) < missing] = torch.nan
    return logits, y


def literal_labels(logits, y, weight) -> float:
    told = []
    for row, truth in zip(logits.tolist(), y.tolist(), strict=True):
        for t, (z, v) in enumerate(zip(row, truth, strict=True)):
            if not math.isnan(v):
                p = 1 / (1 + math.exp(-z))
                told.append(-(weight[t] * v * math.log(p) + (1 - v) * math.log1p(-p)))
    return sum(told) / len(told)


def test_the_loss_of_labels_is_its_definition_and_pytorchs():
    weight = torch.tensor([1.0, 3.0, 0.5])
    logits, y = labels()
    assert multilabel_loss(logits, y, weight).item() == pytest.approx(
        literal_labels(logits, y, weight.tolist()), abs=1e-12
    )
    logits, y = labels(missing=0.0)
    theirs = F.binary_cross_entropy_with_logits(logits, y.double(), pos_weight=weight.double())
    torch.testing.assert_close(multilabel_loss(logits, y, weight), theirs)
    logits, y = labels()
    (gradient,) = torch.autograd.grad(multilabel_loss(logits, y, weight), logits)
    assert ((gradient == 0) == y.isnan()).all()


def test_members_have_weights_of_their_own():
    weights = torch.tensor([[1.0, 2.0, 3.0], [0.5, 1.0, 4.0]])
    (one, y), (other, z) = labels(9), labels(9, missing=0.5)
    together = multilabel_loss(torch.stack([one, other]), torch.stack([y, z]), weights)
    alone = [multilabel_loss(one, y, weights[0]), multilabel_loss(other, z, weights[1])]
    torch.testing.assert_close(together, torch.stack(alone))


def test_weights_of_labels_are_the_odds_against_them():
    known = Frequency(torch.tensor([10, 50, 0, 80]), torch.tensor([100, 100, 100, 80]))
    config = LossConfig.model_validate({"multilabel": {"pos_weight_exponent": 1.0}}).multilabel
    assert positive_weights(known, config).tolist() == [9.0, 1.0, 1.0, 1.0]
    half = config.model_copy(update={"pos_weight_exponent": 0.5})
    assert positive_weights(known, half).tolist() == [3.0, 1.0, 1.0, 1.0]


def test_objectives_take_their_settings_and_name_their_part():
    spread = Spread(torch.zeros(3).double(), SCALE.double())
    outputs, y = batch()
    said = Outputs(torch.zeros(20, 4), outputs)
    config = LossConfig.model_validate({"regression": {"kind": "huber", "huber_delta": 0.3}})
    total, parts = build_target_objective(config, spread)(said, y)
    assert list(parts) == ["regression"]
    assert total.item() == pytest.approx(literal(outputs.detach(), y.double(), "huber", 0.3), abs=1e-6)
    total, parts = build_target_objective(LossConfig(), Frequency(torch.ones(3), torch.ones(3)))(said, labels()[1])
    assert list(parts) == ["multilabel"] and total.item() == pytest.approx(
        literal_labels(outputs.detach(), labels()[1], [1, 1, 1]), abs=1e-6
    )
