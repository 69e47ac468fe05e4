"""Temperature scaling: the temperature is the likeliest, no answer changes, ECE is counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mer.predictor.prediction import as_predictions
from mer.training.calibration import COLDEST, HOTTEST, at_temperature, cooled, fit_temperature, nll_of
from mer.training.label_scores import MultilabelScores
from mer.training.metrics import Scores

NAMES = ("neutral", "joy", "anger")


def of_classes(sharpness: float, rows: int = 400) -> Scores:
    """Labels drawn from softmax(z), scores `sharpness` times z: that is the true temperature. Some rows unlabelled."""
    rng = np.random.default_rng(3)
    z_NC = rng.normal(size=(rows, 3)) * 2
    chances = np.exp(z_NC) / np.exp(z_NC).sum(axis=1, keepdims=True)
    labels_N = np.array([rng.choice(3, p=row) for row in chances])
    labels_N[::17] = -1
    return Scores((sharpness * z_NC).astype(np.float32), labels_N, NAMES)


def of_labels(sharpness: float, rows: int = 400) -> MultilabelScores:
    rng = np.random.default_rng(4)
    z_NC = rng.normal(size=(rows, 3)) * 2
    labels_NC = (rng.random((rows, 3)) < 1 / (1 + np.exp(-z_NC))).astype(np.float64)
    labels_NC[::11, 1] = np.nan
    return MultilabelScores((sharpness * z_NC).astype(np.float32), labels_NC, NAMES)


@pytest.mark.parametrize("make", [of_classes, of_labels])
@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
def test_the_temperature_is_that_of_lbfgs_on_the_likelihood(make, sharpness):
    dev = make(sharpness)
    found = fit_temperature(dev)
    inverse = torch.ones((), dtype=torch.float64, requires_grad=True)
    z = torch.from_numpy(dev.logits_NC.astype(np.float64))
    solver = torch.optim.LBFGS(
        [inverse], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        solver.zero_grad()
        if isinstance(dev, Scores):
            rows = torch.from_numpy(dev.scored_N)
            value = torch.nn.functional.cross_entropy(z[rows] * inverse, torch.from_numpy(dev.labels_N)[rows])
        else:
            said = torch.from_numpy(dev.said_NC)
            truth = torch.from_numpy(dev.labels_N)[said]
            value = torch.nn.functional.binary_cross_entropy_with_logits(z[said] * inverse, truth)
        value.backward()
        return value

    solver.step(loss)
    assert found.value == pytest.approx(1 / inverse.item(), rel=1e-5)
    assert found.nll_after == pytest.approx(loss().item(), abs=1e-9)
    assert found.nll_before == nll_of(dev) >= found.nll_after
    assert abs(np.log(found.value / sharpness)) < 0.2 and not found.at_its_bound


@pytest.mark.parametrize("make", [of_classes, of_labels])
def test_no_answer_changes(make):
    dev = make(3.0)
    after = at_temperature(dev, fit_temperature(dev).value)
    kept = ("dev_macro_f1", "dev_accuracy")
    assert {name: dev.as_metrics("dev")[name] for name in kept} == {
        name: after.as_metrics("dev")[name] for name in kept
    }
    kind = "class" if isinstance(dev, Scores) else "multilabel"
    plain = as_predictions(dev.logits_NC, NAMES, kind=kind)
    divided = as_predictions(dev.logits_NC, NAMES, kind=kind, temperature=2.5)
    assert [one.label for one in plain] == [one.label for one in divided]
    chances = np.array([[one.probabilities[name] for name in NAMES] for one in divided])
    z = torch.from_numpy(dev.logits_NC).double() / 2.5
    expected = z.softmax(dim=1) if kind == "class" else z.sigmoid()
    np.testing.assert_allclose(chances, expected.numpy(), atol=1e-12)
    assert cooled(dev.logits_NC, None) is dev.logits_NC


def test_ece_is_the_gap_of_fifteen_bins_counted_by_hand():
    for dev in (of_classes(3.0), of_labels(3.0)):
        pairs = []
        if isinstance(dev, Scores):
            chances = torch.from_numpy(dev.logits_NC).double().softmax(dim=1).numpy()
            for row in dev.scored_N:
                best = int(chances[row].argmax())
                pairs.append((chances[row, best], dev.labels_N[row] == best))
        else:
            chances = torch.from_numpy(dev.logits_NC).double().sigmoid().numpy()
            for row, column in zip(*np.nonzero(dev.said_NC), strict=True):
                pairs.append((chances[row, column], dev.labels_N[row, column] == 1))
        error = 0.0
        for number in range(15):
            low, high = number / 15, 2.0 if number == 14 else (number + 1) / 15
            inside = [pair for pair in pairs if low <= pair[0] < high]
            if inside:
                sure, right = (np.mean([pair[k] for pair in inside]) for k in (0, 1))
                error += len(inside) / len(pairs) * abs(sure - right)
        assert dev.ece == pytest.approx(error, abs=1e-12)


def test_temperature_scaling_mends_what_is_too_sure():
    found = fit_temperature(of_classes(3.0))
    assert found.ece_after < found.ece_before / 2 and found.bins == 15


def test_a_dev_split_without_an_error_ends_at_the_bound():
    labels_N = np.arange(30) % 3
    right = Scores(np.eye(3, dtype=np.float32)[labels_N], labels_N, NAMES)
    assert fit_temperature(right).value == COLDEST and fit_temperature(right).at_its_bound
    wrong = Scores(-np.eye(3, dtype=np.float32)[labels_N] * 9, labels_N, NAMES)
    assert fit_temperature(wrong).value == HOTTEST
    unsure = Scores(np.zeros((30, 3), dtype=np.float32), labels_N, NAMES)
    assert fit_temperature(unsure).nll_after == pytest.approx(np.log(3))
