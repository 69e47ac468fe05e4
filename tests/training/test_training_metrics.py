"""Scores against scikit-learn and against definitions written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    recall_score,
)

from mer.training import Scores, derive_seed, majority_scores
from mer.training.metrics import macro_words

C = 7
NAMES = tuple(f"class{index}" for index in range(C))


def case(kind: str, seed: int) -> Scores:
    rng = np.random.default_rng([seed, derive_seed(kind)])
    count = {"one sample": 1, "two samples": 2}.get(kind, 200)
    logits = rng.normal(size=(count, C)) * 3
    labels = rng.integers(0, C, count)
    if kind == "absent true classes":
        labels = labels % 3
    elif kind == "absent predictions":
        logits[:, 2:5] -= 100.0
    elif kind == "constant prediction":
        logits[:] = logits[0]
    elif kind == "one true class":
        labels[:] = 4
    elif kind == "all right":
        logits[np.arange(count), labels] = 20.0
    elif kind == "all wrong":
        logits[np.arange(count), labels] = -20.0
    return Scores(logits.astype(np.float32), labels, NAMES)


KINDS = [
    "random",
    "absent true classes",
    "absent predictions",
    "constant prediction",
    "one true class",
    "all right",
    "all wrong",
    "one sample",
    "two samples",
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_scores_equal_scikit_learn(kind, seed):
    scores = case(kind, seed)
    true, predicted, classes = scores.labels_N, scores.logits_NC.argmax(axis=1), range(C)
    average = {"labels": list(classes), "zero_division": 0}
    close = {"rel": 0, "abs": 1e-12}
    assert scores.accuracy == pytest.approx(accuracy_score(true, predicted), **close)
    assert scores.weighted_f1 == pytest.approx(f1_score(true, predicted, average="weighted", **average), **close)
    present = {**average, "labels": np.unique(true).tolist(), "average": "macro"}
    assert scores.macro_f1 == pytest.approx(f1_score(true, predicted, **present), **close)
    assert scores.unweighted_accuracy == pytest.approx(recall_score(true, predicted, **present), **close)
    weighted_recall = recall_score(true, predicted, average="weighted", **average)
    assert scores.accuracy == pytest.approx(weighted_recall, **close)
    assert float(scores.support_C @ scores.recall_C / len(true)) == pytest.approx(scores.accuracy, **close)

    precision, recall, f1, support = precision_recall_fscore_support(true, predicted, **average)
    np.testing.assert_allclose(scores.precision_C, precision, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.recall_C, recall, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.f1_C, f1, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(scores.support_C, support)
    np.testing.assert_array_equal(scores.confusion_CC, confusion_matrix(true, predicted, labels=list(classes)))
    rows = scores.per_class()
    assert [row["class"] for row in rows] == list(NAMES)
    assert [(row["precision"], row["recall"], row["f1"], row["support"]) for row in rows] == [
        pytest.approx(values, **close) for values in zip(precision, recall, f1, support, strict=True)
    ]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "absent predictions"])  # log_loss clips there
def test_log_loss_equals_scikit_learn(kind):
    scores = case(kind, seed=0)
    wide = scores.logits_NC.astype(np.float64)
    probabilities = np.exp(wide) / np.exp(wide).sum(axis=1, keepdims=True)
    expected = log_loss(scores.labels_N, probabilities, labels=list(range(C)))
    assert scores.nll == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_log_loss_of_extreme_scores_is_finite():
    logits = np.array([[1e4, -1e4], [3e38, -3e38]], dtype=np.float32)
    scores = Scores(logits, np.array([1, 0]), ("a", "b"))
    assert scores.nll == pytest.approx(1e4)
    assert math.isfinite(scores.ece)


@pytest.mark.parametrize("kind", KINDS)
def test_ece_equals_the_definition(kind):
    scores = case(kind, seed=1)
    wide = scores.logits_NC.astype(np.float64)
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    for row, label in zip(wide, scores.labels_N, strict=True):
        probabilities = [math.exp(value - row.max()) for value in row]
        confidence = max(probabilities) / sum(probabilities)
        bins[min(int(confidence * 15), 14)].append((confidence, int(row.argmax()) == label))
    expected = 0.0
    for members in bins:
        if members:
            gap = sum(c for c, _ in members) / len(members) - sum(hit for _, hit in members) / len(members)
            expected += len(members) / len(wide) * abs(gap)
    assert scores.ece == pytest.approx(expected, abs=1e-12)


def test_metrics_by_name():
    scores = case("random", 0)
    metrics = scores.as_metrics("dev")
    assert metrics["dev_weighted_f1"] == scores.weighted_f1 and metrics["dev_f1_class3"] == scores.f1_C[3]
    assert metrics["dev_loss"] == scores.nll and metrics["dev_classes_predicted"] == 7.0
    assert case("constant prediction", 0).as_metrics("test")["test_classes_predicted"] == 1.0
    assert all(name.startswith("dev_") and isinstance(value, float) for name, value in metrics.items())


def test_majority_predicts_the_most_frequent_training_class():
    train, dev = np.array([2, 2, 2, 0, 1]), np.array([2, 0, 0, 1])
    scores = majority_scores(train, dev, ("a", "b", "c", "d"))
    assert scores.predicted_N.tolist() == [2, 2, 2, 2]
    assert scores.accuracy == 0.25
    assert scores.weighted_f1 == pytest.approx(0.25 * 0.4) and scores.macro_f1 == pytest.approx(0.4 / 3)  # nobody is d


def test_seeds_are_functions_of_names():
    assert derive_seed(3, "epoch", 1) == derive_seed(3, "epoch", 1) == derive_seed("3/epoch", "1")
    seeds = {derive_seed(seed, "epoch", epoch) for seed in range(20) for epoch in range(20)}
    assert len(seeds) == 400 and all(0 <= seed < 2**63 for seed in seeds)


NEUTRAL_OR_ANGRY = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")


def test_macro_f1_is_over_the_classes_that_the_split_has():
    """MELD's dev with anger and neutral only, as it was reported: F1 .676 and .876, over seven classes .222."""
    counts = [117, 36, 76, 394]
    true, predicted = np.repeat([0, 0, 4, 4], counts), np.repeat([0, 4, 0, 4], counts)
    scores = Scores(np.eye(7)[predicted], true, NEUTRAL_OR_ANGRY)
    assert scores.macro_f1 == pytest.approx(f1_score(true, predicted, average="macro"), abs=1e-12)
    assert scores.macro_f1 == pytest.approx(0.776, abs=5e-4)
    assert scores.unweighted_accuracy == pytest.approx(balanced_accuracy_score(true, predicted), abs=1e-12)
    assert macro_words("dev", NEUTRAL_OR_ANGRY, true) == (
        "macro-F1 and UA over the 2 classes that dev has (anger, neutral); 5 of 7 have no utterance there"
    )


def test_answers_of_a_class_that_the_split_lacks_cost_the_others_and_add_no_class():
    true, predicted = np.array([0, 0, 0, 4, 4, 4]), np.array([0, 0, 6, 4, 6, 6])
    scores = Scores(np.eye(7)[predicted], true, NEUTRAL_OR_ANGRY)
    known = {"labels": [0, 4], "average": "macro"}
    assert scores.macro_f1 == pytest.approx(f1_score(true, predicted, **known), abs=1e-12)
    assert scores.unweighted_accuracy == pytest.approx(recall_score(true, predicted, **known), abs=1e-12)


@pytest.mark.parametrize(("classes", "kept"), [(8, (2,)), (3, (0, 2)), (2, (0, 1)), (12, tuple(range(1, 12)))])
def test_any_number_of_classes_with_any_of_them_absent(classes, kept):
    rng = np.random.default_rng(classes)
    true, logits = rng.choice(kept, 80), rng.normal(size=(80, classes))
    names = tuple(f"labels {number}" for number in range(classes))
    scores, predicted = Scores(logits, true, names), logits.argmax(axis=1)
    known = {"labels": list(kept), "average": "macro", "zero_division": 0}
    present = [number for number in kept if (true == number).any()]
    assert scores.macro_f1 == pytest.approx(f1_score(true, predicted, **known | {"labels": present}), abs=1e-12)
    each = recall_score(true, predicted, labels=range(classes), average=None, zero_division=0)
    metrics = scores.as_metrics("dev")
    assert [metrics[f"dev_recall_{name}"] for name in names] == pytest.approx(each.tolist(), abs=1e-12)
    assert metrics["dev_unweighted_accuracy"] == pytest.approx(each[present].mean(), abs=1e-12)


def test_a_split_with_every_class_needs_no_word():
    assert macro_words("dev", NAMES, np.arange(C)) == ""
