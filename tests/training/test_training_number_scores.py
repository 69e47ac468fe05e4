"""Scores of numbers against scikit-learn, scipy, and the definitions of the papers, on random and degenerate input."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, root_mean_squared_error

from mer.config import DataConfig
from mer.config.metrics import OF_EACH, USUAL, better, is_metric
from mer.training import baseline_scores, derive_seed
from mer.training.number_scores import RegressionScores

KINDS = ("random", "far from zero", "small", "two rows", "whole numbers", "wide", "missing", "right")


def case(kind: str, seed: int, allowed: tuple[float, float] | None = None) -> RegressionScores:
    rng = np.random.default_rng([seed, derive_seed(kind)])
    rows = 2 if kind == "two rows" else 200
    truth = np.clip(rng.normal(0, 1.6, (rows, 2)), -3, 3)
    truth[::5] = np.round(truth[::5])  # zeros and halves, as people rate
    truth[1::9] = 0.0
    if rows == 2:
        truth = np.array([[1.0, -0.5], [2.0, 0.7]])
    output = 0.6 * truth + rng.normal(0, 0.8, (rows, 2)) + 0.3
    if kind == "far from zero":
        truth, output = truth + 1000, output + 1000
    elif kind == "small":
        truth, output = 1e-4 * truth, 1e-4 * output
    elif kind == "whole numbers":
        output = np.round(2 * output) / 2
    elif kind == "wide":
        output = 4 * output
    elif kind == "missing":
        truth[rng.random(truth.shape) < 0.3] = np.nan
    elif kind == "right":
        output = truth.copy()
    return RegressionScores(output.astype(np.float32), truth.astype(np.float32), ("v", "a"), allowed)


def pairs(scores: RegressionScores) -> list[tuple[np.ndarray, np.ndarray]]:
    told = []
    for t in range(len(scores.class_names)):
        said = ~np.isnan(scores.labels_N[:, t])
        told.append((scores.logits_NC[said, t].astype(float), scores.labels_N[said, t].astype(float)))
    return told


def written_ccc(x: np.ndarray, y: np.ndarray) -> float:
    """Lin's concordance correlation, as its definition reads."""
    return 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_scikit_learn_and_scipy(kind, seed):
    scores = case(kind, seed)
    told = pairs(scores)
    assert scores.mae == pytest.approx(np.mean([mean_absolute_error(y, x) for x, y in told]), rel=1e-12)
    assert scores.rmse == pytest.approx(np.mean([root_mean_squared_error(y, x) for x, y in told]), rel=1e-12)
    assert scores.pearson == pytest.approx(np.mean([pearsonr(x, y).statistic for x, y in told]), abs=1e-9)
    assert scores.ccc == pytest.approx(np.mean([written_ccc(x, y) for x, y in told]), abs=1e-9)
    metrics = scores.as_metrics("dev")
    assert metrics["dev_ccc_a"] == pytest.approx(written_ccc(*told[1]), abs=1e-9)
    assert metrics["dev_mae_v"] == pytest.approx(mean_absolute_error(*told[0][::-1]), rel=1e-12)


def mosi(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The metrics of Tsai et al. 2019 and of MMSA, in their own words."""
    nonzero = y != 0
    same = lambda a, b: float(np.mean(np.round(a) == np.round(b)))  # noqa: E731
    return {
        "acc7": same(np.clip(x, -3, 3), np.clip(y, -3, 3)),
        "acc5": same(np.clip(x, -2, 2), np.clip(y, -2, 2)),
        "acc2_has0": accuracy_score(y >= 0, x >= 0),
        "f1_has0": f1_score(y >= 0, x >= 0, average="weighted"),
        "acc2_non0": accuracy_score(y[nonzero] > 0, x[nonzero] > 0),
        "f1_non0": f1_score(y[nonzero] > 0, x[nonzero] > 0, average="weighted"),
    }


def sims(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The metrics of Yu et al. 2020: intervals that are closed above."""
    x, y = np.clip(x, -1, 1), np.clip(y, -1, 1)

    def numbered(values: np.ndarray, edges: list[float]) -> np.ndarray:
        return np.array([next(i for i in range(len(edges) - 1) if edges[i] < v <= edges[i + 1]) for v in values])

    parts = {"acc2": [-1.01, 0.0, 1.01], "acc3": [-1.01, -0.1, 0.1, 1.01], "acc5": [-1.01, -0.7, -0.1, 0.1, 0.7, 1.01]}
    told = {name: accuracy_score(numbered(y, edges), numbered(x, edges)) for name, edges in parts.items()}
    two = parts["acc2"]
    return told | {"f1": f1_score(numbered(y, two), numbered(x, two), average="weighted")}


@pytest.mark.parametrize("kind", [*KINDS, "all zeros", "constant", "one row"])
@pytest.mark.parametrize("seed", range(3))
def test_accuracies_are_those_of_the_papers(kind, seed):
    scores = case(kind, seed, (-3.0, 3.0))
    output, truth = (values[:, :1].copy() for values in (scores.logits_NC, scores.labels_N))
    if kind == "all zeros":
        output[:] = 0
    elif kind == "constant":
        output[:] = 1.25
    elif kind == "one row":
        output, truth = output[:1], truth[:1] + 1.5
    for allowed, theirs, scale in (((-3.0, 3.0), mosi, 1), ((-1.0, 1.0), sims, 3)):
        one = RegressionScores(output / scale, truth / scale, ("v",), allowed)
        ((x, y),) = pairs(one)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert one.accuracies() == pytest.approx(theirs(x, y), abs=1e-12)
    assert RegressionScores(output, truth, ("v",), (0.0, 5.0)).accuracies() == {}


def test_what_has_no_correlation_is_zero_and_what_agrees_is_one():
    y = np.array([[1.0], [2.0], [4.0]])
    constant = RegressionScores(np.full((3, 1), 0.1, np.float32), y, ("v",))
    assert constant.pearson == constant.ccc == 0.0
    assert RegressionScores(y, np.full((3, 1), 0.1), ("v",)).ccc == 0.0
    same = np.full((3, 1), 0.1, np.float32)
    assert RegressionScores(same, same, ("v",)).ccc == 1.0 and RegressionScores(same, same, ("v",)).pearson == 0.0
    one = RegressionScores(np.array([[1.5]]), np.array([[1.0]]), ("v",))
    assert (one.ccc, one.pearson, one.mae) == (0.0, 0.0, 0.5)
    zeros = RegressionScores(np.zeros((4, 1)), np.zeros((4, 1)), ("v",), (-3.0, 3.0))
    assert zeros.ccc == 1.0 and zeros.as_metrics("dev")["dev_acc2_non0"] == 0.0  # no row but zeros
    assert all(math.isfinite(value) for value in zeros.as_metrics("dev").values())


def test_a_number_that_the_split_lacks_is_left_out_of_the_mean():
    scores = case("random", 0)
    labels = scores.labels_N.copy()
    labels[:, 1] = np.nan
    lacking = RegressionScores(scores.logits_NC, labels, scores.class_names)
    assert lacking.ccc == lacking.ccc_C[0] and "dev_ccc_a" not in lacking.as_metrics("dev")
    assert len(lacking.scored_N) == 200 and lacking.per_class()[1]["rows"] == 0


@pytest.mark.parametrize("allowed", [None, (-3.0, 3.0), (-1.0, 1.0)])
def test_the_names_are_those_of_the_configuration(allowed):
    metrics = case("random", 0, allowed).as_metrics("dev")
    assert all(is_metric(name, "regression") for name in metrics)
    usual = {f"dev_{name}" for name in USUAL["regression"]}
    assert usual - metrics.keys() == (
        {f"dev_{n}" for n in USUAL["regression"] if n[:3] in ("acc", "f1", "f1_")} - metrics.keys()
    )
    assert {f"dev_{kind}_v" for kind in OF_EACH["regression"]} <= metrics.keys()
    assert {name for name in metrics if better(name) == "min"} == {
        f"dev_{name}" for name in ("mae", "rmse", "loss", "mae_v", "mae_a", "rmse_v", "rmse_a")
    }


def test_the_lowest_bar_is_the_mean_of_train():
    data = DataConfig(dataset="csv", task="regression")
    train = np.array([[1.0, 10], [3.0, np.nan]], np.float32)
    bar = baseline_scores(data, train, np.array([[2.0, 10], [4.0, 12]], np.float32), ("v", "a"))
    assert bar.logits_NC.tolist() == [[2, 10], [2, 10]] and bar.ccc == 0.0 and bar.mae == 1.0
