"""What guessing reaches on dev, and how far chance alone moves a score there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.page.words import is_fraction
from analysis.stores.predictions import Predictions
from analysis.stores.study import Study


@dataclass(frozen=True)
class Noise:
    """Binomial standard error of accuracy on dev: how far chance alone moves a score."""

    utterances: int
    error: float

    @property
    def points(self) -> str:
        return f"{100 * self.error:.1f}"


@dataclass(frozen=True)
class Chance:
    """The better of two guesses. Args: guess: which one, in words."""

    value: float
    guess: str


def dev_noise(study: Study) -> Noise | None:
    """Compute the noise from the best trial's accuracy and the number of dev utterances.

    Returns: None when no predictions were kept.
    """
    if study.best is None or not is_fraction(study.metric):
        return None
    predictions = study.predictions(study.best)
    if predictions is None:
        return None
    n, accuracy = len(predictions.ids), float(predictions.right_N.mean())
    return Noise(n, math.sqrt(accuracy * (1 - accuracy) / n))


def chance_on_dev(study: Study) -> Chance | None:
    """Return what the better guess reaches: always the most frequent class of train, or classes as often as dev has
    them. None where the metric or the labels do not tell."""
    majority = study.baseline.get(study.metric)
    words = {"regression": "always the mean", "multilabel": "always the most frequent labels"}
    guess = words.get(study.task, "always the most frequent class")
    found = [Chance(majority, guess)] if majority is not None else []
    predictions = study.predictions(study.best) if study.best else None
    if predictions is not None:
        stratified = guessing(predictions, study.metric.removeprefix("dev_"))
        found += [Chance(stratified, "guessing each class as often as it occurs")] if stratified is not None else []
    return max(found, key=lambda one: one.value) if found and study.larger_is_better else None


def guessing(predictions: Predictions, metric: str) -> float | None:
    """Return what a metric tends to when each class is guessed as often as it occurs; None for other metrics.

    A guess is right with the class's share p. So precision, recall and F1 of a class are p, and accuracy is the sum of
    p squared.
    """
    counts = np.bincount(predictions.true_N, minlength=len(predictions.class_names))
    shares = counts / counts.sum()
    if metric in ("accuracy", "weighted_f1"):
        return float((shares**2).sum())
    if metric in ("macro_f1", "unweighted_accuracy"):
        return float(shares[shares > 0].mean())
    for kind in ("f1_", "recall_"):
        if metric.startswith(kind) and metric.removeprefix(kind) in predictions.class_names:
            return float(shares[predictions.class_names.index(metric.removeprefix(kind))])
    return None
