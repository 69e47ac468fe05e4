"""APCL with several prototypes of a class: who belongs to which, and its loss, against loops."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from test_losses_contrastive import assert_same, literal_cosine
from torch import Tensor

from mer.config import APCLConfig
from mer.losses.contrastive import decoupled_loss
from mer.losses.prototypes import AdaptivePrototypes, choose_prototypes

C, K, D = 3, 2, 16


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def literal_choice(h: Tensor, y: list[int], mu: Tensor, each: int) -> list[int]:
    chosen = []
    for row, label in zip(h, y, strict=True):
        own = [r for r in range(len(mu)) if r // each == label]
        mates = [other for other, its in zip(h, y, strict=True) if its == label]
        usual = [
            sum(literal_cosine(mate, mu[r]) for mate in mates) / len(mates) if len(mates) > 1 else 0.0 for r in own
        ]
        above = [(literal_cosine(row, mu[r]) - u) for r, u in zip(own, usual, strict=True)]
        chosen.append(own[max(range(each), key=lambda k: float(above[k]))])
    return chosen


def literal_loss(
    h: Tensor, y: list[int], mu: Tensor, chosen: list[int], temperature: float, anchors: str, hinge: float
):
    """Of the prototypes a row has its own as a positive; no other of its class is a negative."""
    points, classes = [*h, *mu.detach()], [*y, *(r // K for r in range(len(mu)))]
    rows, losses = len(h), []

    def positive(i: int, j: int) -> bool:
        if i < rows and j < rows:
            return i != j and y[i] == y[j]
        if i >= rows and j >= rows:
            return False
        row, prototype = (i, j - rows) if i < rows else (j, i - rows)
        return chosen[row] == prototype

    for i in range(len(points) if anchors == "all" else rows):
        s = [(1 + literal_cosine(points[i], point)) / 2 / temperature for point in points]
        attract = [s[j] for j in range(len(points)) if positive(i, j)]
        repel = [torch.exp(s[j]) for j in range(len(points)) if classes[j] != classes[i]]
        if attract:
            losses.append(-sum(attract) / len(attract) + torch.log(sum(repel)))
    return sum(torch.clamp(loss - hinge, min=0) for loss in losses) / len(losses)


def batch() -> tuple[Tensor, list[int], Tensor]:
    y = [0, 0, 1, 0, 1, 1, 0, 2, 1, 0]  # one row of class 2
    return torch.randn(len(y), D, requires_grad=True), y, torch.randn(C * K, D)


def test_rows_choose_as_the_loop_does():
    for _ in range(5):
        h, y, mu = batch()
        assert choose_prototypes(h, torch.tensor(y), mu, K).tolist() == literal_choice(h.detach(), y, mu, K)


@pytest.mark.parametrize("anchors", ["batch", "all"])
@pytest.mark.parametrize("hinge", [0.0, 1.0])
def test_the_loss_is_the_loop(anchors: str, hinge: float):
    h, y, mu = batch()
    labels = torch.tensor(y)
    chosen = choose_prototypes(h, labels, mu, K)
    options = {"temperature": 0.1, "anchors": anchors, "hinge": hinge}
    fast = decoupled_loss(h, labels, mu, each=K, assigned_N=chosen, **options)
    assert_same(fast, literal_loss(h, y, mu, chosen.tolist(), 0.1, anchors, hinge), h)


def test_one_prototype_of_each_class_is_the_usual_loss():
    h, y, _ = batch()
    labels, mu = torch.tensor(y), torch.randn(C, D)
    usual = decoupled_loss(h, labels, mu, temperature=0.1, anchors="all")
    same = decoupled_loss(h, labels, mu, temperature=0.1, anchors="all", each=1, assigned_N=labels)
    assert torch.equal(usual, same)
    assert choose_prototypes(h, labels, mu, 1).tolist() == y


@pytest.mark.parametrize("how", ["polar", "none"])
def test_two_habits_of_a_class_get_a_prototype_each(how: str):
    """Half of each class lies around one direction, half around another; by the cosine alone one would take all."""
    habits = torch.nn.init.orthogonal_(torch.empty(C * K, D)) + 0.8 * torch.randn(1, D)
    prototypes = AdaptivePrototypes(C, D, beta=0.3, gamma=0.1, orthogonalize=how, each=K)
    for _ in range(80):
        habit = torch.randint(C * K, (48,))
        prototypes.update(habits[habit] + 0.05 * torch.randn(48, D), habit // K)
    habit = torch.arange(C * K).repeat(8)
    chosen = prototypes.assigned(habits[habit] + 0.05 * torch.randn(len(habit), D), habit // K)
    for c in range(C):
        own = [set(chosen[habit == c * K + k].tolist()) for k in range(K)]
        assert all(len(one) == 1 for one in own) and own[0] != own[1], own
    assert (prototypes.seen > 0).all()
    if how == "polar":
        torch.testing.assert_close(prototypes.mu @ prototypes.mu.mT, torch.eye(C * K), atol=1e-5, rtol=0)
    again = AdaptivePrototypes(C, D, beta=0.3, gamma=0.1, orthogonalize=how, each=K)
    again.load_state_dict(prototypes.state_dict())
    assert torch.equal(again.mu, prototypes.mu)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="18 orthonormal prototypes need features at least 18 wide, got 16"):
        AdaptivePrototypes(C, D, beta=0.1, gamma=0.1, each=6)
    with pytest.raises(
        ValidationError, match="proto_init 'label_text' has one vector for each class, got prototypes=2"
    ):
        APCLConfig(prototypes=2, proto_init="label_text")
    assert "prototypes" not in APCLConfig().model_dump() and APCLConfig(prototypes=2).model_dump()["prototypes"] == 2
