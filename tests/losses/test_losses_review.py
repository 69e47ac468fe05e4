"""Knowledge review against its authors' formulas, and what its parts do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from published_review import ReviewKD, hcl
from torch import Tensor

from mer.config import DistillConfig
from mer.losses import Distillation, Lesson
from mer.losses.review import Review, hierarchical_context

ROWS, WIDTH, TEACHER, CLASSES = 7, 6, 5, 3


def same_weights(mine: Review, theirs: ReviewKD) -> list[tuple[Tensor, Tensor]]:
    """Give the port the weights of ours; return the pairs. Its 3 x 3 kernels meet a map with their middle column."""
    pairs = []
    for fusion, abf in zip(mine.fusions, theirs.abfs, strict=True):
        assert isinstance(abf.conv1, torch.nn.Sequential) and isinstance(abf.conv2, torch.nn.Sequential)
        pairs += [(fusion.reduce.weight, abf.conv1[0].weight), (fusion.expand.weight, abf.conv2[0].weight)]
        for own, other in ((fusion.reduce_norm, abf.conv1[1]), (fusion.expand_norm, abf.conv2[1])):
            torch.nn.init.normal_(own.weight)
            torch.nn.init.normal_(own.bias)
            pairs += [(own.weight, other.weight), (own.bias, other.bias)]
        if fusion.attend is not None:
            pairs += [(fusion.attend.weight, abf.att_conv[0].weight), (fusion.attend.bias, abf.att_conv[0].bias)]
    with torch.no_grad():
        for own, other in pairs:
            middle(other).copy_(own)
    return pairs


def middle(weight: Tensor) -> Tensor:
    """The part of a 2-D kernel that a map of h x 1 meets."""
    return weight if weight.ndim < 4 else weight[..., weight.shape[-1] // 2]


@pytest.mark.parametrize("parts", [1, 2, 4, 8])
@pytest.mark.parametrize("stages", [2, 4])
def test_value_and_gradients_are_the_published_ones(stages: int, parts: int):
    torch.manual_seed(0)
    mine = Review(stages, WIDTH, TEACHER).double()
    theirs = ReviewKD([WIDTH] * stages, [TEACHER] * stages, [parts] * stages).double()
    pairs = same_weights(mine, theirs)
    student = torch.randn(ROWS, stages, parts, WIDTH, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(ROWS, stages, parts, TEACHER, dtype=torch.float64)
    maps = [s.detach().mT[..., None].clone().requires_grad_() for s in student.unbind(1)]
    loss = mine(student, teacher)
    expected = hcl(theirs(maps), [t.mT[..., None] for t in teacher.unbind(1)])
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-9)
    loss.backward()
    expected.backward()
    assert student.grad is not None
    for stage, one in enumerate(maps):
        torch.testing.assert_close(student.grad[:, stage].mT, one.grad[..., 0], rtol=1e-6, atol=1e-9)
    for own, other in pairs:
        torch.testing.assert_close(own.grad, middle(other.grad), rtol=1e-6, atol=1e-9)


def test_the_context_loss_by_hand():
    """Four parts: the errors of 4, of halves with weight 1/2, of the whole with 1/4."""
    made = torch.tensor([[[1.0, 3.0, 0.0, 2.0]]])
    zeros = torch.zeros_like(made)
    expected = (14 / 4 + 0.5 * (4 + 1) / 2 + 0.25 * 1.5**2) / 1.75
    assert hierarchical_context(made, zeros).item() == pytest.approx(expected)
    assert hierarchical_context(made[..., :1], zeros[..., :1]).item() == pytest.approx(1.0)


def test_every_stage_and_every_later_stage_reviews_the_earlier_ones():
    """A stage's output depends on itself and on the later stages, so the first loss reaches all of them."""
    torch.manual_seed(0)
    review = Review(3, WIDTH, TEACHER)
    student = torch.randn(ROWS, 3, 4, WIDTH, requires_grad=True)
    stage, made = 2, None
    outs: list[Tensor] = []
    for stage in (2, 1, 0):
        out, made = review.fusions[stage](student[:, stage].mT, made)
        outs.insert(0, out)
    for index, out in enumerate(outs):
        (felt,) = torch.autograd.grad(out.square().sum(), student, retain_graph=True)
        assert [bool(felt[:, s].any()) for s in range(3)] == [s >= index for s in range(3)]
    for name, weight in review.named_parameters():
        assert weight.requires_grad, name
    assert not list(review.buffers()), "no running statistics: nothing of a batch is kept"


def lesson(**changes: Any) -> Lesson:
    torch.manual_seed(1)
    told = Lesson(torch.randn(ROWS, CLASSES), torch.randn(ROWS, 4), states_NSPK=torch.randn(ROWS, 2, 4, TEACHER))
    return told._replace(**changes)


def term(told: Lesson, states: Tensor, y_N: Tensor, **settings: Any) -> Tensor | None:
    torch.manual_seed(2)
    config = DistillConfig.model_validate({"teacher": "t", "feature": "review", "response": "none", **settings})
    module = Distillation(config, 8, 4, Review(2, WIDTH, TEACHER))
    assert module.projection is None
    return module(torch.randn(ROWS, 8), torch.randn(ROWS, CLASSES), told, y_N, states).get("feature")


def test_rows_without_states_and_rows_that_are_not_taught_are_left_out():
    torch.manual_seed(3)
    states, y_N = torch.randn(ROWS, 2, 4, WIDTH), torch.zeros(ROWS, dtype=torch.long)
    staged_N = torch.tensor([True, True, False, True, True, True, True])
    whole, some = lesson(), lesson(staged_N=staged_N)
    assert term(whole, states, y_N) is not None
    garbage = states.clone()
    garbage[2] = torch.nan
    masked, clean = term(some, garbage, y_N), term(some, states, y_N)
    assert masked is not None and clean is not None and torch.equal(masked, clean) and masked.isfinite()
    right = whole.logits_NC.argmax(1)
    y_N = torch.where(torch.arange(ROWS) < 4, right, (right + 1) % CLASSES)
    only = term(whole, states, y_N, kd_filter="correct_only")
    there = torch.arange(ROWS) < 4
    assert only is not None and torch.equal(only, term(whole._replace(staged_N=there), states, y_N))
    few = torch.arange(ROWS) < 3
    assert term(whole._replace(staged_N=few), states, y_N) is None
    assert term(whole._replace(states_NSPK=None), states, y_N) is None


def test_other_shapes_are_refused():
    review = Review(2, WIDTH, TEACHER)
    with pytest.raises(ValueError, match="2 stages"):
        review(torch.zeros(4, 3, 4, WIDTH), torch.zeros(4, 3, 4, TEACHER))
    with pytest.raises(ValueError, match="2 stages"):
        review(torch.zeros(4, 2, 4, WIDTH), torch.zeros(4, 2, 2, TEACHER))
