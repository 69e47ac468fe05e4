"""Scores of classes on one split, equal to scikit-learn's, from one confusion matrix (methods 8.1).

Computed here rather than by scikit-learn because every worker would otherwise import it for one matrix; a test holds
the two equal to 1e-12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from mer.agreement import calibration_error, ratio
from mer.training.per_class import PerClass


@dataclass(frozen=True)
class Scores(PerClass):
    """Scores of `logits_NC` against `labels_N`.

    Args:
        logits_NC: class scores, float; softmax gives probabilities.
        labels_N: true classes in [0, C); a row of -1 has no label and counts in no score.
        class_names: C names, in column order.

    Macro-F1 and unweighted accuracy average over the classes that `labels_N` has: a class without an utterance in the
    split would add a zero that nothing can change.
    """

    logits_NC: np.ndarray
    labels_N: np.ndarray
    class_names: tuple[str, ...]
    main: ClassVar[str] = "weighted_f1"

    @cached_property
    def predicted_N(self) -> np.ndarray:
        return self.logits_NC.argmax(axis=1)

    @cached_property
    def scored_N(self) -> np.ndarray:
        """Numbers of the rows that have a label."""
        return np.flatnonzero(self.labels_N >= 0)

    @cached_property
    def confusion_CC(self) -> np.ndarray:
        """Counts; rows are true classes, columns predicted ones."""
        classes = len(self.class_names)
        pairs = (self.labels_N * classes + self.predicted_N)[self.scored_N]
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    @cached_property
    def support_C(self) -> np.ndarray:
        return self.confusion_CC.sum(axis=1)

    @property
    def precision_C(self) -> np.ndarray:
        return ratio(np.diag(self.confusion_CC), self.confusion_CC.sum(axis=0))

    @property
    def recall_C(self) -> np.ndarray:
        return ratio(np.diag(self.confusion_CC), self.support_C)

    @cached_property
    def f1_C(self) -> np.ndarray:
        return ratio(2.0 * np.diag(self.confusion_CC), self.support_C + self.confusion_CC.sum(axis=0))

    @property
    def accuracy(self) -> float:
        return float(np.trace(self.confusion_CC) / len(self.scored_N))

    @property
    def weighted_f1(self) -> float:
        return float(self.support_C @ self.f1_C / len(self.scored_N))

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the classes that the split has."""
        return float(self.f1_C[self.present_C].mean())

    @property
    def unweighted_accuracy(self) -> float:
        """Mean recall over the classes that the split has: UA, UAR or balanced accuracy in the literature."""
        return float(self.recall_C[self.present_C].mean())

    @cached_property
    def log_probabilities_NC(self) -> np.ndarray:
        shifted = self.logits_NC.astype(np.float64)
        shifted = shifted - shifted.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    @property
    def nll(self) -> float:
        """Mean negative log-likelihood, nats."""
        return float(-self.log_probabilities_NC[self.scored_N, self.labels_N[self.scored_N]].mean())

    @property
    def ece(self) -> float:
        """Expected calibration error of the top class, equal-width bins."""
        confidence = np.exp(self.log_probabilities_NC[self.scored_N].max(axis=1))
        correct = (self.predicted_N == self.labels_N)[self.scored_N]
        return calibration_error(confidence, correct)

    def agreement(self, other_NC: np.ndarray) -> float:
        """Say how often other class scores give the same class."""
        return float((self.predicted_N == other_NC.argmax(axis=1)).mean())

    def as_metrics(self, split: str) -> dict[str, float]:
        """Flat metrics named `<split>_...`, fractions in [0, 1]."""
        metrics = {
            f"{split}_weighted_f1": self.weighted_f1,
            f"{split}_macro_f1": self.macro_f1,
            f"{split}_accuracy": self.accuracy,
            f"{split}_unweighted_accuracy": self.unweighted_accuracy,
            f"{split}_loss": self.nll,
            f"{split}_ece": self.ece,
            f"{split}_classes_predicted": float(len(np.unique(self.predicted_N[self.scored_N]))),
        }
        return metrics | self.of_each(split)


def macro_words(split: str, class_names: Sequence[str], labels_N: np.ndarray) -> str:
    """Say over which classes macro-F1 and UA of a split are averaged; "" where it has every class."""
    present = np.isin(np.arange(len(class_names)), labels_N)
    names = [name for name, there in zip(class_names, present, strict=True) if there]
    without = len(class_names) - len(names)
    if not without:
        return ""
    return (
        f"macro-F1 and UA over the {len(names)} classes that {split} has ({', '.join(names)}); "
        f"{without} of {len(class_names)} {'has' if without == 1 else 'have'} no utterance there"
    )


def majority_scores(train_labels: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> Scores:
    """The bar every trial must clear: always predict the training split's most frequent class."""
    logits = np.zeros((len(labels), len(class_names)))
    logits[:, np.bincount(train_labels[train_labels >= 0], minlength=len(class_names)).argmax()] = 1.0
    return Scores(logits, labels, class_names)
