"""Scores of one split by its task: classes, numbers, or several labels of a row.

What all of them have: `logits_NC`, `labels_N`, `class_names`, `scored_N`, `as_metrics`, `per_class`, `agreement`, and
in `main` the name of the score that stands for a model.
"""

from __future__ import annotations

import numpy as np

from mer.config import DataConfig, TargetKind
from mer.training.label_scores import MultilabelScores, scores_of_frequencies
from mer.training.metrics import Scores, majority_scores
from mer.training.number_scores import RegressionScores, mean_of_train

AnyScores = Scores | RegressionScores | MultilabelScores

# What the lowest bar answers.
BASELINE: dict[TargetKind, str] = {
    "class": "the most frequent class",
    "regression": "the mean of train",
    "multilabel": "the labels of most rows",
}


def scores_of(data: DataConfig, logits_NC: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> AnyScores:
    """Score outputs (N, C) by the task that the data have.

    Args:
        labels: as `mer.training.labels` says.
        class_names: C names of classes, numbers or labels.
    """
    if data.task == "regression":
        return RegressionScores(logits_NC, labels, class_names, data.range)
    if data.task == "multilabel":
        return MultilabelScores(logits_NC, labels, class_names)
    return Scores(logits_NC, labels, class_names)


def baseline_scores(
    data: DataConfig, train_labels: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]
) -> AnyScores:
    """Score the bar that every trial must clear: what can be answered without reading anything (BASELINE)."""
    if data.task == "class":
        return majority_scores(train_labels, labels, class_names)
    answer = mean_of_train if data.task == "regression" else scores_of_frequencies
    return scores_of(data, answer(train_labels, len(labels)), labels, class_names)
