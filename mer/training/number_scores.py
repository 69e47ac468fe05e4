"""Scores of predicted numbers on one split: CCC, Pearson, MAE, and the accuracies of the papers on MOSI and CH-SIMS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from mer.agreement import Moments, accuracies_of, weighted_f1
from mer.training.said import Said


@dataclass(frozen=True)
class RegressionScores(Said):
    """Scores of outputs against numbers, T of a row.

    Args:
        logits_NC: outputs (N, T), in the numbers' own unit.
        labels_N: numbers (N, T); NaN where a row does not say one: it counts in no score of that number.
        class_names: T names of the numbers, in column order.
        range: allowed numbers (`data.range`), by which papers choose their accuracies.

    Of several numbers a score is the mean over those that the split has.
    """

    logits_NC: np.ndarray
    labels_N: np.ndarray
    class_names: tuple[str, ...]
    range: tuple[float, float] | None = None
    main: ClassVar[str] = "ccc"

    @property
    def present_C(self) -> np.ndarray:
        """The numbers that the split has, bool."""
        return np.asarray(self.said_NC.any(axis=0))

    def pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield outputs and numbers of each target, where rows say it."""
        for output_N, truth_N, said_N in zip(self.logits_NC.T, self.labels_N.T, self.said_NC.T, strict=True):
            yield output_N[said_N].astype(np.float64), truth_N[said_N].astype(np.float64)

    @cached_property
    def _moments(self) -> Moments:
        sums = []
        for x, y in self.pairs():
            x0, y0 = (values.mean() if len(values) else 0.0 for values in (x, y))
            dx, dy = x - x0, y - y0
            sums.append([len(x), dx.sum(), dy.sum(), dx @ dx, dy @ dy, dx @ dy, x0, y0])
        return Moments(*np.array(sums, dtype=np.float64).reshape(-1, 8).T)

    @property
    def ccc_C(self) -> np.ndarray:
        return self._moments.ccc()

    @property
    def pearson_C(self) -> np.ndarray:
        return self._moments.pearson()

    @property
    def mae_C(self) -> np.ndarray:
        return np.array([np.abs(x - y).mean() if len(x) else 0.0 for x, y in self.pairs()])

    @property
    def rmse_C(self) -> np.ndarray:
        return np.array([np.sqrt(np.square(x - y).mean()) if len(x) else 0.0 for x, y in self.pairs()])

    @property
    def ccc(self) -> float:
        """Concordance correlation."""
        return self._mean(self.ccc_C)

    @property
    def pearson(self) -> float:
        return self._mean(self.pearson_C)

    @property
    def mae(self) -> float:
        """Mean absolute error, in the numbers' own unit."""
        return self._mean(self.mae_C)

    @property
    def rmse(self) -> float:
        """Root of the mean squared error, in the numbers' own unit."""
        return self._mean(self.rmse_C)

    @property
    def loss(self) -> float:
        """Mean squared error."""
        return self._mean(self.rmse_C**2)

    def accuracies(self) -> dict[str, float]:
        """Compute the accuracies and F1 that papers report of numbers in this range; {} for other ranges."""
        told: dict[str, list[float]] = {}
        for said, (x, y) in zip(self.present_C, self.pairs(), strict=True):
            for one in accuracies_of(self.range) if said else ():
                among = one.among(y)
                predicted, true = one.classes(x[among]), one.classes(y[among])
                told.setdefault(one.name, []).append(float((predicted == true).mean()) if len(true) else 0.0)
                if one.f1:
                    counts = [np.bincount(c, minlength=2) for c in (true[predicted == true], predicted, true)]
                    told.setdefault(one.f1, []).append(float(weighted_f1(*counts)))
        return {name: float(np.mean(values)) for name, values in told.items()}

    def agreement(self, other_NC: np.ndarray) -> float:
        """Say how well other outputs agree with these, as their mean CCC."""
        other = np.asarray(other_NC, dtype=np.float64)
        return RegressionScores(self.logits_NC, other, self.class_names).ccc

    def as_metrics(self, split: str) -> dict[str, float]:
        """Flat metrics named `<split>_...`; accuracies are fractions in [0, 1]."""
        metrics = {f"{split}_{name}": getattr(self, name) for name in ("ccc", "pearson", "mae", "rmse", "loss")}
        metrics |= {f"{split}_{name}": value for name, value in self.accuracies().items()}
        for kind in ("ccc", "pearson", "mae", "rmse") if len(self.class_names) > 1 else ():
            named = zip(self.class_names, getattr(self, f"{kind}_C"), self.present_C, strict=True)
            metrics |= {f"{split}_{kind}_{name}": float(value) for name, value, there in named if there}
        return metrics

    def per_class(self) -> list[dict[str, float | str | int]]:
        """A row per number: name, ccc, pearson, mae, rmse, rows that say it."""
        columns = (self.class_names, self.ccc_C, self.pearson_C, self.mae_C, self.rmse_C, self.said_NC.sum(axis=0))
        return [
            {"target": name, "ccc": float(c), "pearson": float(p), "mae": float(m), "rmse": float(r), "rows": int(n)}
            for name, c, p, m, r, n in zip(*columns, strict=True)
        ]

    def _mean(self, values_C: np.ndarray) -> float:
        there = self.present_C
        return float(values_C[there].mean()) if there.any() else 0.0


def mean_of_train(train_NC: np.ndarray, rows: int) -> np.ndarray:
    """Predict the mean of train for every row: the bar that every trial must clear, (rows, T)."""
    said = ~np.isnan(train_NC)
    mean_C = np.where(said, train_NC, 0.0).sum(axis=0) / np.maximum(said.sum(axis=0), 1)
    return np.tile(mean_C, (rows, 1))
