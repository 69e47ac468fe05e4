"""Distillation terms against literal loops, and the properties that make them usable."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mer.config import DistillConfig, LossConfig
from mer.losses import Distillation, Lesson, Outputs, StudentObjective, build_objective
from mer.losses.distillation import FEWEST_ROWS, dist, response_kl, similarity_kl, squared_gap

ROWS, CLASSES, WIDTH = 6, 4, 5


@pytest.fixture
def scores() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(3 * torch.randn(ROWS, CLASSES, generator=generator) for _ in range(2))  # type: ignore[return-value]


@pytest.fixture
def features() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(ROWS, WIDTH, generator=generator) for _ in range(2))  # type: ignore[return-value]


def softmax(row: list[float], temperature: float) -> list[float]:
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def pearson(a: list[float], b: list[float]) -> float:
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    top = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    return top / math.sqrt(sum((x - mean_a) ** 2 for x in a)) / math.sqrt(sum((y - mean_b) ** 2 for y in b))


def literal_kl(student: Tensor, teacher: Tensor, temperature: float) -> float:
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        p, q = softmax(t, temperature), softmax(s, temperature)
        total += sum(pi * math.log(pi / qi) for pi, qi in zip(p, q, strict=True))
    return temperature**2 * total / len(student)


def literal_dist(student: Tensor, teacher: Tensor, temperature: float, inter: float, intra: float) -> float:
    s = [softmax(row, temperature) for row in student.tolist()]
    t = [softmax(row, temperature) for row in teacher.tolist()]
    rows = sum(pearson(a, b) for a, b in zip(s, t, strict=True)) / len(s)
    columns = sum(pearson([r[c] for r in s], [r[c] for r in t]) for c in range(CLASSES)) / CLASSES
    return temperature**2 * (inter * (1 - rows) + intra * (1 - columns))


def literal_similarity(student: Tensor, teacher: Tensor, temperature: float) -> float:
    def unit(row: list[float]) -> list[float]:
        length = math.sqrt(sum(x * x for x in row))
        return [x / length for x in row]

    s, t = [unit(row) for row in student.tolist()], [unit(row) for row in teacher.tolist()]
    dot = lambda a, b: sum(x * y for x, y in zip(a, b, strict=True))  # noqa: E731
    total = 0.0
    for anchor in t:
        p = softmax([dot(anchor, other) for other in t], temperature)
        q = softmax([dot(anchor, other) for other in s], temperature)
        total += sum(pi * math.log(pi / qi) for pi, qi in zip(p, q, strict=True))
    return total / len(t)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_terms_equal_literal_loops(scores, features, temperature: float):
    assert response_kl(*scores, temperature).item() == pytest.approx(literal_kl(*scores, temperature), rel=1e-5)
    ours = dist(*scores, temperature, inter=0.7, intra=1.3).item()
    assert ours == pytest.approx(literal_dist(*scores, temperature, 0.7, 1.3), rel=1e-4)
    ours = similarity_kl(*features, temperature / 4).item()
    assert ours == pytest.approx(literal_similarity(*features, temperature / 4), rel=1e-4)
    gaps = [(s - t) ** 2 for s, t in zip(*(own.flatten().tolist() for own in features), strict=True)]
    assert squared_gap(*features).item() == pytest.approx(sum(gaps) / len(gaps), rel=1e-5)
    units = [g / (1 + i % CLASSES) ** 2 for i, g in enumerate((scores[0] - scores[1]).square().flatten().tolist())]
    ours = squared_gap(*scores, torch.arange(1.0, CLASSES + 1)).item()
    assert ours == pytest.approx(sum(units) / len(units), rel=1e-5)


def test_both_correlations_count_once_unless_weights_are_given(scores):
    assert dist(*scores, 2.0).item() == pytest.approx(literal_dist(*scores, 2.0, 1.0, 1.0), rel=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_students_total_is_its_losses_by_weight_and_share(scores, features, share: float):
    settings = {"ce_weight": 0.5, "response_weight": 3.0, "feature_weight": 5.0}
    config = DistillConfig(teacher="exports/t", **settings)
    base = build_objective(LossConfig(), width=WIDTH, counts_C=torch.ones(CLASSES))
    objective = StudentObjective(base, Distillation(config, WIDTH, WIDTH))
    outputs = Outputs(features[0], scores[0], lesson=Lesson(scores[1], features[1], share=share))
    y = torch.arange(ROWS) % CLASSES
    total, parts = objective(outputs, y)
    expected = 0.5 * parts["classification"] + share * (3.0 * parts["response"] + 5.0 * parts["feature"])
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert parts["classification"].item() == pytest.approx(base(outputs, y)[0].item(), rel=1e-6)


def test_a_student_that_equals_its_teacher_has_nothing_to_learn(scores, features):
    for term, what in ((response_kl, scores[0]), (dist, scores[0]), (similarity_kl, features[0])):
        student = what.clone().requires_grad_()
        loss = term(student, what, 2.0)
        loss.backward()
        assert loss.item() == pytest.approx(0.0, abs=1e-5), term.__name__
        assert student.grad.abs().max() < 1e-4, term.__name__


def test_dist_does_not_see_a_positive_affine_change_of_probabilities(scores):
    teacher = scores[1].softmax(dim=1)
    nearer_the_mean = (0.5 * teacher + 0.5 / CLASSES).log()  # probabilities again: rows still sum to 1
    assert dist(nearer_the_mean, scores[1], 1.0).item() == pytest.approx(0.0, abs=1e-4)
    assert response_kl(nearer_the_mean, scores[1], 1.0).item() > 0.01


def test_no_gradient_reaches_the_teacher(scores, features):
    for term, (student, teacher) in ((response_kl, scores), (dist, scores), (similarity_kl, features)):
        student, teacher = student.clone().requires_grad_(), teacher.clone().requires_grad_()
        term(student, teacher, 1.0).backward()
        assert teacher.grad is None and student.grad.abs().sum() > 0


@pytest.mark.parametrize("rows", [1, FEWEST_ROWS - 1])
def test_few_rows_leave_out_what_compares_rows(scores, features, rows: int):
    student, teacher = (each[:rows] for each in scores)
    assert dist(student, teacher, 1.0).item() == pytest.approx(dist(student, teacher, 1.0, intra=9.0).item())
    config = DistillConfig(teacher="exports/t")
    y = torch.zeros(rows, dtype=torch.long)
    terms = Distillation(config, WIDTH, WIDTH)(features[0][:rows], student, Lesson(teacher, features[1][:rows]), y)
    assert set(terms) == {"response"} and torch.isfinite(terms["response"])


@pytest.mark.parametrize("flat", ["student", "teacher", "both"])
def test_constant_probabilities_give_finite_gradients(scores, flat: str):
    student, teacher = (each.clone() for each in scores)
    for name, tensor in (("student", student), ("teacher", teacher)):
        if flat in (name, "both"):
            tensor[:] = 0.0
    student.requires_grad_()
    loss = dist(student, teacher, 4.0)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(student.grad).all()


def test_only_rows_that_the_teacher_has_right(scores, features):
    config = DistillConfig(teacher="exports/t", kd_filter="correct_only", response="kl", feature="none")
    teacher = scores[1]
    y = teacher.argmax(dim=1).clone()
    y[:2] = (y[:2] + 1) % CLASSES
    terms = Distillation(config, WIDTH, WIDTH)(features[0], scores[0], Lesson(teacher, features[1]), y)
    assert terms["response"].item() == pytest.approx(literal_kl(scores[0][2:], teacher[2:], 4.0), rel=1e-5)
    there = torch.tensor([True, True, True, True, False, False])  # and those that it could read
    terms = Distillation(config, WIDTH, WIDTH)(features[0], scores[0], Lesson(teacher, features[1], there), y)
    assert terms["response"].item() == pytest.approx(literal_kl(scores[0][2:4], teacher[2:4], 4.0), rel=1e-5)
    wrong = (teacher.argmax(dim=1) + 1) % CLASSES
    assert Distillation(config, WIDTH, WIDTH)(features[0], scores[0], Lesson(teacher, None), wrong) == {}


def test_another_width_is_met_by_a_projection_that_only_the_feature_term_reads(scores, features):
    config = DistillConfig(teacher="exports/t")
    distillation = Distillation(config, WIDTH, WIDTH + 3)
    lesson = Lesson(scores[1], torch.randn(ROWS, WIDTH + 3))
    y = torch.zeros(ROWS, dtype=torch.long)
    terms = distillation(features[0], scores[0], lesson, y)
    terms["response"].backward() if terms["response"].requires_grad else None
    assert distillation.projection.weight.grad is None
    terms["feature"].backward()
    assert distillation.projection.weight.grad.abs().sum() > 0
    assert Distillation(config, WIDTH, WIDTH).projection is None


def test_autocast_changes_nothing(scores, features):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = [response_kl(*scores, 4.0), dist(*scores, 4.0), similarity_kl(*features, 0.1)]
    outside = [response_kl(*scores, 4.0), dist(*scores, 4.0), similarity_kl(*features, 0.1)]
    assert [value.item() for value in inside] == [value.item() for value in outside]


Loss = Callable[..., Tensor]


@pytest.mark.parametrize("kept", [[6, 6], [6, 4], [5, 3], [1, 0]], ids=str)
@pytest.mark.parametrize("loss", [response_kl, dist, similarity_kl])
def test_members_in_front_and_masked_rows_give_what_each_gives_by_itself(loss: Loss, kept: list[int]):
    """Rows that do not count hold anything; a member without any row gets gradients of zero."""
    generator = torch.Generator().manual_seed(2)
    students, teachers = torch.randn(2, len(kept), ROWS, WIDTH, generator=generator, dtype=torch.float64)
    there = torch.arange(ROWS) < torch.tensor(kept)[:, None]
    students.requires_grad_()
    temperatures = torch.tensor([0.5, 4.0], dtype=torch.float64)
    further = {"inter": (0.7, 1.0), "intra": (1.3, 2.0)} if loss is dist else {}
    packed = {name: torch.tensor(values, dtype=torch.float64) for name, values in further.items()}
    together = loss(students, teachers, temperatures[:, None, None], there_N=there, **packed)
    together.sum().backward()
    assert students.grad is not None and not students.grad[~there].any() and students.grad.isfinite().all()
    for k, rows in enumerate(kept):
        if not rows:
            continue
        own = students.detach()[k, :rows].requires_grad_()
        settings = {name: values[k] for name, values in further.items()}
        alone = loss(own, teachers[k, :rows], temperatures[k].item(), **settings)
        alone.backward()
        torch.testing.assert_close(together[k], alone, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(students.grad[k, :rows], own.grad, rtol=1e-10, atol=1e-12)
