"""Scores of one split, equal to scikit-learn's, from one confusion matrix (methods 8.1).

Computed here rather than by scikit-learn because every worker would otherwise import it for one matrix; a test holds
the two equal to 1e-12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

ECE_BINS = 15


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Element-wise division with 0/0 = 0, as `zero_division=0`."""
    return np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0)


@dataclass(frozen=True)
class Scores:
    """Scores of `logits_NC` against `labels_N`.

    Args:
        logits_NC: class scores, float; softmax gives probabilities.
        labels_N: true classes in [0, C).
        class_names: C names, in column order.
        occurring_C: bool, the classes that macro-F1 is averaged over; None: all.
    """

    logits_NC: np.ndarray
    labels_N: np.ndarray
    class_names: tuple[str, ...]
    occurring_C: np.ndarray | None = None

    @cached_property
    def predicted_N(self) -> np.ndarray:
        return self.logits_NC.argmax(axis=1)

    @cached_property
    def confusion_CC(self) -> np.ndarray:
        """Counts; rows are true classes, columns predicted ones."""
        classes = len(self.class_names)
        pairs = self.labels_N * classes + self.predicted_N
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    @cached_property
    def support_C(self) -> np.ndarray:
        return self.confusion_CC.sum(axis=1)

    @property
    def precision_C(self) -> np.ndarray:
        return _ratio(np.diag(self.confusion_CC), self.confusion_CC.sum(axis=0))

    @property
    def recall_C(self) -> np.ndarray:
        return _ratio(np.diag(self.confusion_CC), self.support_C)

    @cached_property
    def f1_C(self) -> np.ndarray:
        return _ratio(2.0 * np.diag(self.confusion_CC), self.support_C + self.confusion_CC.sum(axis=0))

    @property
    def accuracy(self) -> float:
        return float(np.trace(self.confusion_CC) / len(self.labels_N))

    @property
    def weighted_f1(self) -> float:
        return float(self.support_C @ self.f1_C / len(self.labels_N))

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the classes that occur: one that no split can hold would be a zero that nothing can change."""
        return float((self.f1_C if self.occurring_C is None else self.f1_C[self.occurring_C]).mean())

    @cached_property
    def log_probabilities_NC(self) -> np.ndarray:
        shifted = self.logits_NC.astype(np.float64)
        shifted = shifted - shifted.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    @property
    def nll(self) -> float:
        """Mean negative log-likelihood, nats."""
        return float(-self.log_probabilities_NC[np.arange(len(self.labels_N)), self.labels_N].mean())

    @property
    def ece(self) -> float:
        """Expected calibration error of the top class, equal-width bins."""
        confidence = np.exp(self.log_probabilities_NC.max(axis=1))
        correct = self.predicted_N == self.labels_N
        bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
        gap = np.bincount(bins, weights=confidence - correct, minlength=ECE_BINS)
        return float(np.abs(gap).sum() / len(self.labels_N))

    def as_metrics(self, split: str) -> dict[str, float]:
        """Flat metrics named `<split>_...`, fractions in [0, 1]."""
        metrics = {
            f"{split}_weighted_f1": self.weighted_f1,
            f"{split}_macro_f1": self.macro_f1,
            f"{split}_accuracy": self.accuracy,
            f"{split}_loss": self.nll,
            f"{split}_ece": self.ece,
            f"{split}_classes_predicted": float(len(np.unique(self.predicted_N))),
        }
        return metrics | {f"{split}_f1_{name}": float(f1) for name, f1 in zip(self.class_names, self.f1_C, strict=True)}

    def per_class(self) -> list[dict[str, float | str | int]]:
        """A row per class: name, precision, recall, f1, support."""
        columns = zip(self.class_names, self.precision_C, self.recall_C, self.f1_C, self.support_C, strict=True)
        return [
            {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
            for name, p, r, f, n in columns
        ]


def occurring_classes(classes: int, *labels_N: np.ndarray) -> np.ndarray:
    """Mark the classes that any of the label arrays holds: bool (C,)."""
    return np.isin(np.arange(classes), np.concatenate(labels_N))


def macro_words(class_names: Sequence[str], occurring_C: np.ndarray) -> str:
    """Say what macro-F1 is averaged over; "" where every class occurs."""
    names = [name for name, occurs in zip(class_names, occurring_C, strict=True) if occurs]
    never = len(class_names) - len(names)
    if not never:
        return ""
    return (
        f"macro-F1 over {len(names)} classes that train or dev have ({', '.join(names)}); "
        f"{never} of the dataset's {len(class_names)} never occur"
    )


def majority_scores(train_labels: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> Scores:
    """The bar every trial must clear: always predict the training split's most frequent class."""
    logits = np.zeros((len(labels), len(class_names)))
    logits[:, np.bincount(train_labels, minlength=len(class_names)).argmax()] = 1.0
    return Scores(logits, labels, class_names, occurring_classes(len(class_names), train_labels, labels))
