"""The decision threshold of two classes: the best on dev, equal to a search written out, and kept honest."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from mer.errors import MerError
from mer.predictor.prediction import as_predictions
from mer.training import Scores
from mer.training.threshold import METRICS, choose_threshold

NAMES = ("neutral", "anger")
SKLEARN = {
    "macro_f1": lambda true, said: f1_score(true, said, average="macro", zero_division=0),
    "weighted_f1": lambda true, said: f1_score(true, said, average="weighted", zero_division=0),
    "accuracy": accuracy_score,
    "unweighted_accuracy": balanced_accuracy_score,
}


def dev(seed: int = 0, count: int = 120, shift: float = 1.5) -> Scores:
    """Anger is rare, and its scores are too low by `shift`."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.25).astype(int)
    logits = rng.normal(size=(count, 2)) + 1.5 * np.eye(2)[labels]
    logits[:, 1] -= shift
    return Scores(logits.astype(np.float32), labels, NAMES)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("metric", METRICS)
def test_no_threshold_scores_better_on_dev(metric, seed):
    scores = dev(seed)
    found, score = choose_threshold(scores, metric), SKLEARN[metric]
    chances = 1 / (1 + np.exp(-(scores.logits_NC[:, 1].astype(float) - scores.logits_NC[:, 0])))
    tried = [score(scores.labels_N, (chances >= place).astype(int)) for place in [0.5, *chances]]
    assert found.after == pytest.approx(max(tried), abs=1e-12)
    assert found.after == pytest.approx(score(scores.labels_N, (chances >= found.at_least).astype(int)), abs=1e-12)
    assert found.before == pytest.approx(score(scores.labels_N, scores.predicted_N), abs=1e-12)
    assert found.before < found.after or found.at_least == 0.5
    assert found.name == "anger" and 0 < found.at_least < 1


def test_shifted_scores_and_predictions_answer_alike():
    scores = dev()
    found = choose_threshold(scores, "macro_f1")
    moved = found.shifted(scores.logits_NC).argmax(axis=1)
    answers = as_predictions(scores.logits_NC, NAMES, threshold=found.at_least)
    assert [NAMES[number] for number in moved] == [answer.label for answer in answers]
    assert [answer.label for answer in as_predictions(scores.logits_NC, NAMES)] != [answer.label for answer in answers]
    assert answers[0].probabilities == as_predictions(scores.logits_NC, NAMES)[0].probabilities


def test_where_nothing_is_gained_the_more_probable_class_stays_the_answer():
    labels = np.array([0, 1, 0, 1])
    found = choose_threshold(Scores(4.0 * np.eye(2)[labels], labels, NAMES), "accuracy")
    assert (found.at_least, found.before, found.after) == (0.5, 1.0, 1.0)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_extreme_scores_give_a_probability(size):
    labels = np.array([0, 1, 1, 0])
    logits = size * np.array([[1.0, 0.5], [1.0, 0.7], [1.0, 0.8], [0.9, 0.2]])
    found = choose_threshold(Scores(logits, labels, NAMES), "accuracy")
    assert 0 < found.at_least < 1 and math.isfinite(found.shifted(logits).sum())


@pytest.mark.parametrize(
    ("names", "metric", "found"),
    [
        (("a", "b", "c"), "macro_f1", "the model has 3 classes"),
        (NAMES, "loss", "no threshold is chosen by 'loss'"),
        (NAMES, "recall_anger", "no threshold is chosen by 'recall_anger'"),
    ],
)
def test_what_is_refused(names, metric, found):
    with pytest.raises(MerError) as refused:
        choose_threshold(Scores(np.eye(len(names)), np.arange(len(names)), names), metric)
    assert refused.value.where == "--threshold" and refused.value.found == found
