"""Adversarial moves of h: FGM row by row, as public code does it to embeddings, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from mer.config import LossConfig, TrialConfig, nest
from mer.losses import Outputs, build_objective
from mer.losses.adversarial import worsened

ROWS, WIDTH, CLASSES = 6, 5, 3


class FGM:
    """attack and restore as the FGM of many repositories: one parameter, moved by epsilon * grad / norm(grad)."""

    def __init__(self, parameter: nn.Parameter, epsilon: float) -> None:
        self.parameter, self.epsilon = parameter, epsilon

    def attack(self) -> None:
        assert self.parameter.grad is not None
        self.backup, norm = self.parameter.data.clone(), self.parameter.grad.norm()
        if norm != 0:
            self.parameter.data.add_(self.epsilon * self.parameter.grad / norm)

    def restore(self) -> None:
        self.parameter.data = self.backup


@pytest.mark.parametrize("epsilon", [0.1, 2.0])
def test_gradients_are_those_of_attack_and_restore(epsilon: float):
    """Loss and loss at the moved h, row after row: gradients of the classifier and of h, to 1e-6."""
    torch.manual_seed(0)
    h, y = torch.randn(ROWS, WIDTH, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 1])
    mine, theirs = (nn.Linear(WIDTH, CLASSES).double() for _ in range(2))
    theirs.load_state_dict(mine.state_dict())
    rows = h.clone().requires_grad_()
    loss = F.cross_entropy(mine(rows), y)
    total = loss + F.cross_entropy(mine(worsened(loss, rows, epsilon)), y)
    total.backward()
    expected, felt = 0.0, []
    for row, label in zip(h, y, strict=True):
        embedding = nn.Parameter(row[None].clone())
        fgm = FGM(embedding, epsilon)
        first = F.cross_entropy(theirs(embedding), label[None]) / ROWS
        first.backward()
        fgm.attack()
        second = F.cross_entropy(theirs(embedding), label[None]) / ROWS
        second.backward()
        fgm.restore()
        assert second > first, "the move makes it worse"
        expected += (first + second).item()
        felt.append(embedding.grad[0])
    assert total.item() == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(rows.grad, torch.stack(felt), rtol=1e-6, atol=1e-9)
    for own, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-6, atol=1e-9)


def test_a_row_that_the_loss_does_not_feel_stays():
    h = torch.randn(4, WIDTH, requires_grad=True)
    moved = worsened((h[:2] ** 2).sum(), h, 0.5)
    assert torch.equal(moved[2:], h[2:])
    torch.testing.assert_close((moved - h)[:2].norm(dim=1), torch.full((2,), 0.5))
    tiny = worsened((1e-20 * h).sum(), h, 0.5)
    torch.testing.assert_close((tiny - h).norm(dim=1), torch.full((4,), 0.5))


def test_members_move_by_their_own_length():
    h = torch.randn(2, 4, WIDTH, requires_grad=True)
    loss_P = (h**3).sum(dim=(1, 2))
    moved = worsened(loss_P, h, torch.tensor([0.1, 2.0]).view(2, 1, 1))
    for member, epsilon in enumerate((0.1, 2.0)):
        own = h[member].detach().requires_grad_()
        torch.testing.assert_close(moved[member], worsened((own**3).sum(), own, epsilon))


def test_the_contrastive_loss_is_taken_at_the_moved_h_too():
    torch.manual_seed(0)
    config = LossConfig.model_validate({"contrastive": {"kind": "supcon"}, "adversarial": {"weight": 1.0}})
    objective = build_objective(config, width=WIDTH, counts_C=torch.tensor([2, 3, 1]))
    h, y = torch.randn(ROWS, WIDTH, requires_grad=True), torch.tensor([0, 1, 2, 0, 1, 1])
    loss, _ = objective(Outputs(h, h[:, :CLASSES]), y)
    moved = worsened(loss, h, 0.3)
    worse, parts = objective(Outputs(moved, moved[:, :CLASSES]), y)
    assert worse > loss and set(parts) == {"classification", "contrastive"}


FUSED = {"encoders": {"text": {}, "audio": {}}, "fusion.kind": "concat"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"loss.adversarial.epsilon": 0.5}, "epsilon has no meaning with loss.adversarial.weight 0, got 0.5"),
        ({"loss.cross_modal.temperature": 0.5}, "temperature has no meaning with loss.cross_modal.weight 0"),
        ({"loss.adversarial.weight": -1.0}, "greater than or equal to 0"),
        ({"loss.adversarial": {"weight": 1.0, "epsilon": 0.0}}, "greater than 0"),
        ({"encoders.text": {}, "loss.adversarial.weight": 1.0, "head.hidden": 0}, "head.hidden must be 1 or more"),
        ({"encoders.text": {}, "loss.adversarial.weight": 1.0, "loss.classification.probe": True}, "leaves it none"),
        (FUSED | {"fusion.kind": "late", "loss.adversarial.weight": 1.0}, "fusion.kind 'late' classifies without one"),
        ({"encoders.audio": {}, "distill.teacher": "t", "loss.adversarial.weight": 1.0}, "students have several"),
        ({"encoders.text": {}, "loss.adversarial.weight": 1.0, "training.prediction": "nearest_anchor",
          "loss.contrastive": {"kind": "eacl", "stage_two_epochs": 1}}, "set stage_two_epochs: 0"),
        ({"encoders.text": {}, "loss.cross_modal.weight": 1.0}, "it needs several encoders and a fusion"),
        (FUSED | {"distill.teacher": "t", "loss.cross_modal.weight": 1.0}, "reaches no student with distill.mode"),
    ],
)  # fmt: skip
def test_what_would_do_nothing_is_refused(settings: dict[str, Any], said: str):
    with pytest.raises(ValidationError) as caught:
        TrialConfig.model_validate(nest(settings))
    assert said in str(caught.value)


def test_losses_that_are_off_leave_the_configuration_as_it_was():
    assert set(LossConfig().model_dump()) == {"classification", "contrastive"}
    on = LossConfig.model_validate({"adversarial": {"weight": 0.5}, "cross_modal": {"weight": 0.1}})
    assert LossConfig.model_validate(on.model_dump()) == on
