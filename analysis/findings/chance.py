"""What guessing reaches on a split, and how far chance alone moves a score there.

"Guessing" is everywhere the better of two answers that read nothing: always the most frequent class (the tables' row
"majority"), or each class as often as it occurs ("by frequency").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.page.words import is_fraction
from analysis.stores.predictions import Predictions
from analysis.stores.study import Study

_BY_FREQUENCY = "each class as often as it occurs"
_ALWAYS = {
    "class": "always the most frequent class",
    "regression": "always the mean",
    "multilabel": "always the most frequent labels",
}


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
    """Return what guessing reaches on dev; the most frequent class is that of train. None where the metric or the
    labels do not tell."""
    predictions = study.predictions(study.best) if study.best else None
    frequency = by_frequency(predictions, study.metric.removeprefix("dev_")) if predictions is not None else None
    always = study.baseline.get(study.metric)
    return _better(always, _ALWAYS.get(study.task, _ALWAYS["class"]), frequency) if study.larger_is_better else None


def chance_on_split(predictions: Predictions) -> Chance | None:
    """Return the weighted F1 that guessing reaches on the split of these predictions, by its own class counts."""
    shares = np.bincount(predictions.true_N, minlength=len(predictions.class_names)) / len(predictions.true_N)
    most = float(shares.max())
    return _better(most * 2 * most / (1 + most), _ALWAYS["class"], by_frequency(predictions, "weighted_f1"))


def _better(always: float | None, guess: str, frequency: float | None) -> Chance | None:
    found = [Chance(always, guess)] if always is not None else []
    found += [Chance(frequency, _BY_FREQUENCY)] if frequency is not None else []
    return max(found, key=lambda one: one.value) if found else None


def by_frequency(predictions: Predictions, metric: str) -> float | None:
    """Return what a metric tends to when each class is answered as often as it occurs; None for other metrics.

    An answer is right with the class's share p. So precision, recall and F1 of a class are p, and accuracy is the sum
    of p squared.
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
