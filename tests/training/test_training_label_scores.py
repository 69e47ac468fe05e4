"""Scores of several labels against scikit-learn, on random and degenerate input; thresholds chosen on dev."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, log_loss, precision_score, recall_score

from mer.config import DataConfig
from mer.config.metrics import OF_EACH, USUAL, is_metric
from mer.training import baseline_scores, derive_seed
from mer.training.label_scores import MultilabelScores

NAMES = ("happy", "sad", "angry", "calm")
KINDS = ("random", "one row", "no label at all", "none is given", "all are given", "a label without rows", "all right")


def case(kind: str, seed: int) -> MultilabelScores:
    rng = np.random.default_rng([seed, derive_seed(kind)])
    rows = 1 if kind == "one row" else 150
    labels = (rng.random((rows, 4)) < [0.5, 0.3, 0.1, 0.05]).astype(np.float32)
    logits = rng.normal(0, 2, (rows, 4)) + 2 * labels - 1
    if kind == "no label at all":
        labels[:] = 0
    elif kind == "none is given":
        logits[:] = -3
    elif kind == "all are given":
        logits[:] = 3
    elif kind == "a label without rows":
        labels[:, 2] = 0
    elif kind == "all right":
        logits = 8 * labels - 4
    return MultilabelScores(logits.astype(np.float32), labels, NAMES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_scikit_learns(kind, seed):
    scores = case(kind, seed)
    truth, given = scores.labels_N.astype(int), (scores.logits_NC > 0).astype(int)
    there = np.flatnonzero(truth.any(axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        macro = f1_score(truth, given, labels=there, average="macro", zero_division=0) if len(there) else 0.0
        assert scores.macro_f1 == pytest.approx(macro, abs=1e-12)
        assert scores.micro_f1 == pytest.approx(f1_score(truth, given, average="micro", zero_division=0), abs=1e-12)
        samples = f1_score(truth, given, average="samples", zero_division=1)
        assert scores.samples_f1 == pytest.approx(samples, abs=1e-12)
        jaccard = jaccard_score(truth, given, average="samples", zero_division=1)
        assert scores.jaccard == pytest.approx(jaccard, abs=1e-12)
        for mine, theirs in ((scores.precision_C, precision_score), (scores.recall_C, recall_score)):
            np.testing.assert_allclose(mine, theirs(truth, given, average=None, zero_division=0), atol=1e-12)
    assert scores.accuracy == pytest.approx(accuracy_score(truth, given), abs=1e-12)
    chances = 1 / (1 + np.exp(-scores.logits_NC.astype(float)))
    nats = np.mean([log_loss(truth[:, c], chances[:, c], labels=[0, 1]) for c in range(4)])
    assert scores.loss == pytest.approx(nats, abs=1e-9)
    assert all(math.isfinite(value) for value in scores.as_metrics("dev").values())


def test_what_a_row_does_not_say_counts_nowhere():
    scores = case("random", 0)
    labels = scores.labels_N.copy()
    labels[::3, 1], labels[5] = np.nan, np.nan
    some = MultilabelScores(scores.logits_NC, labels, NAMES)
    said = ~np.isnan(labels[:, 1])
    assert some.f1_C[1] == pytest.approx(f1_score(labels[said, 1], scores.logits_NC[said, 1] > 0), abs=1e-12)
    assert 5 not in some.scored_N and len(some.scored_N) == 149
    kept = np.delete(np.arange(150), 5)
    without = MultilabelScores(scores.logits_NC[kept], labels[kept], NAMES)
    assert without.as_metrics("dev") == pytest.approx(some.as_metrics("dev"), abs=1e-12)


def test_the_names_are_those_of_the_configuration():
    metrics = case("random", 0).as_metrics("dev")
    assert {f"dev_{name}" for name in USUAL["multilabel"]} <= metrics.keys()
    assert {f"dev_{kind}_{name}" for kind in OF_EACH["multilabel"] for name in NAMES} <= metrics.keys()
    assert [name for name in metrics if not is_metric(name, "multilabel")] == ["dev_labels_predicted"]


def test_the_lowest_bar_gives_what_most_rows_have():
    train = np.array([[1, 0], [1, 0], [0, 1], [np.nan, 0]], np.float32)
    bar = baseline_scores(DataConfig(dataset="csv", task="multilabel"), train, train, ("a", "b"))
    assert (bar.logits_NC > 0).all(axis=0).tolist() == [True, False] and bar.f1_C[0] == pytest.approx(0.8)
