"""Counts per unit from which every score of several labels follows.

Shape suffixes: N utterances, U units, S seeds, C labels, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mer.statistics.resampling import sum_by_unit, times, unit_numbers

METRICS = ("macro_f1", "micro_f1", "samples_f1", "jaccard", "accuracy")


@dataclass(frozen=True)
class LabelSums:
    """Rows right, given and true by label; and of rows F1, Jaccard and whether all labels are right."""

    right_USC: np.ndarray
    given_USC: np.ndarray
    true_UC: np.ndarray
    of_rows_US3: np.ndarray
    rows_U: np.ndarray

    @classmethod
    def of(cls, outputs: Sequence[np.ndarray], labels_NC: np.ndarray, unit_ids: Sequence[object]) -> LabelSums:
        """Count label scores (N, C) of each seed; a label is given above 0."""
        labels = np.asarray(labels_NC)
        if len(unit_ids) != len(labels) or any(np.shape(output) != labels.shape for output in outputs):
            raise ValueError(f"outputs: expected {labels.shape} per seed and a unit for each row")
        unit_N, said_NC = unit_numbers(unit_ids), ~np.isnan(labels)
        true_NC = said_NC & (labels > 0.5)
        given_NSC = np.stack([said_NC & (np.asarray(output) > 0) for output in outputs], axis=1)
        right_NSC = given_NSC & true_NC[:, None]
        scored_N = said_NC.any(axis=1)
        right, both = right_NSC.sum(axis=2), given_NSC.sum(axis=2) + true_NC.sum(axis=1)[:, None]
        f1_NS = np.divide(2.0 * right, both, out=np.ones(both.shape), where=both > 0)
        jaccard_NS = np.divide(right, both - right, out=np.ones(both.shape), where=both > 0)
        exact_NS = (given_NSC == true_NC[:, None]).all(axis=2)
        of_rows = np.stack([f1_NS, jaccard_NS, exact_NS], axis=-1) * scored_N[:, None, None]
        return cls(
            sum_by_unit(right_NSC.astype(float), unit_N),
            sum_by_unit(given_NSC.astype(float), unit_N),
            sum_by_unit(true_NC.astype(float), unit_N),
            sum_by_unit(of_rows, unit_N),
            sum_by_unit(scored_N.astype(float), unit_N),
        )

    @property
    def units(self) -> int:
        return len(self.rows_U)

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return self.true_UC.shape[1]

    def scores(self, metric: str, times_RU: np.ndarray) -> np.ndarray:
        """Return the metric (R,), averaged over seeds. Macro-F1 averages over the labels that a resample has."""
        if metric not in METRICS:
            raise ValueError(f"metric: must be one of {', '.join(METRICS)}, got {metric!r}")
        if metric in ("samples_f1", "jaccard", "accuracy"):
            place = ("samples_f1", "jaccard", "accuracy").index(metric)
            rows_R1 = np.maximum(times(times_RU, self.rows_U)[:, None], 1)
            of_rows: np.ndarray = (times(times_RU, self.of_rows_US3[..., place]) / rows_R1).mean(axis=1)
            return of_rows
        right, given = times(times_RU, self.right_USC), times(times_RU, self.given_USC)
        true = times(times_RU, self.true_UC)[:, None]
        if metric == "micro_f1":
            right, given, true = (counts.sum(axis=2) for counts in (right, given, true))
        both = given + true
        f1 = np.divide(2 * right, both, out=np.zeros(both.shape), where=both > 0)
        if metric == "micro_f1":
            return np.asarray(f1.mean(axis=1))
        there = np.broadcast_to(true > 0, f1.shape)
        mean: np.ndarray = np.where(there, f1, 0.0).sum(axis=2) / np.maximum(there.sum(axis=2), 1)
        return np.asarray(mean.mean(axis=1))
