"""Scores of several labels of a row on one split: F1 over labels, over all cells and over rows, Jaccard.

Equal to scikit-learn's; a row that has no label and is given none counts as right (`zero_division=1` over rows).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from mer.agreement import calibration_error, ratio
from mer.training.per_class import PerClass
from mer.training.said import Said


@dataclass(frozen=True)
class MultilabelScores(PerClass, Said):
    """Scores of label scores against labels.

    Args:
        logits_NC: score of each label (N, C); above 0 it is given, where its probability is above one half.
        labels_N: 1 or 0 for each label (N, C); NaN where a row does not say: it counts in no score of that label.
        class_names: C names, in column order.

    Macro-F1 averages over the labels that the split has: one without a row would add a zero that nothing can change.
    """

    logits_NC: np.ndarray
    labels_N: np.ndarray
    class_names: tuple[str, ...]
    main: ClassVar[str] = "macro_f1"

    @cached_property
    def true_NC(self) -> np.ndarray:
        return self.said_NC & (self.labels_N > 0.5)

    @cached_property
    def given_NC(self) -> np.ndarray:
        return self.said_NC & (self.logits_NC > 0)

    @cached_property
    def right_NC(self) -> np.ndarray:
        return self.true_NC & self.given_NC

    @property
    def support_C(self) -> np.ndarray:
        return self.true_NC.sum(axis=0)

    @property
    def precision_C(self) -> np.ndarray:
        return ratio(self.right_NC.sum(axis=0), self.given_NC.sum(axis=0))

    @property
    def recall_C(self) -> np.ndarray:
        return ratio(self.right_NC.sum(axis=0), self.support_C)

    @property
    def f1_C(self) -> np.ndarray:
        return ratio(2.0 * self.right_NC.sum(axis=0), self.support_C + self.given_NC.sum(axis=0))

    @property
    def macro_f1(self) -> float:
        there = self.present_C
        return float(self.f1_C[there].mean()) if there.any() else 0.0

    @property
    def micro_f1(self) -> float:
        """F1 over all cells together."""
        right, both = self.right_NC.sum(), self.true_NC.sum() + self.given_NC.sum()
        return float(2 * right / both) if both else 0.0

    @property
    def samples_f1(self) -> float:
        """Mean F1 of the rows."""
        right_N, both_N = self._of_rows(self.right_NC), self._of_rows(self.true_NC) + self._of_rows(self.given_NC)
        return float(ratio(2.0 * right_N, both_N, 1.0).mean())

    @property
    def jaccard(self) -> float:
        """Mean over rows of labels that are both true and given, of those that are either."""
        return float(ratio(self._of_rows(self.right_NC), self._of_rows(self.true_NC | self.given_NC), 1.0).mean())

    @property
    def accuracy(self) -> float:
        """Share of rows all of whose labels are right."""
        return float((self.true_NC == self.given_NC)[self.scored_N].all(axis=1).mean())

    @property
    def loss(self) -> float:
        """Mean binary cross-entropy of a label, nats."""
        z = self.logits_NC.astype(np.float64)
        loss_NC = np.logaddexp(0.0, z) - np.where(self.true_NC, z, 0.0)
        return float(loss_NC[self.said_NC].mean())

    @property
    def ece(self) -> float:
        """Expected calibration error of each label's own probability, over all cells."""
        chance_M = 0.5 * (1.0 + np.tanh(0.5 * self.logits_NC[self.said_NC].astype(np.float64)))
        return calibration_error(chance_M, self.true_NC[self.said_NC])

    def agreement(self, other_NC: np.ndarray) -> float:
        """Say how often other scores give, or do not give, the same labels."""
        return float(((self.logits_NC > 0) == (other_NC > 0)).mean())

    def as_metrics(self, split: str) -> dict[str, float]:
        """Flat metrics named `<split>_...`, fractions in [0, 1]; the loss in nats."""
        names = ("macro_f1", "micro_f1", "samples_f1", "jaccard", "accuracy", "loss")
        metrics = {f"{split}_{name}": float(getattr(self, name)) for name in names}
        metrics[f"{split}_labels_predicted"] = float(self.given_NC.any(axis=0).sum())
        return metrics | self.of_each(split)

    def _of_rows(self, mask_NC: np.ndarray) -> np.ndarray:
        """Count the labels of each scored row."""
        counts: np.ndarray = mask_NC[self.scored_N].sum(axis=1)
        return counts


def scores_of_frequencies(train_NC: np.ndarray, rows: int) -> np.ndarray:
    """Give every row the labels that most rows of train have, with their frequency as probability, (rows, C)."""
    said = ~np.isnan(train_NC)
    share_C = np.where(said, train_NC, 0.0).sum(axis=0) / np.maximum(said.sum(axis=0), 1)
    share_C = np.clip(share_C, 1e-6, 1 - 1e-6)
    return np.tile(np.log(share_C / (1 - share_C)), (rows, 1))
