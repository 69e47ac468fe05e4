"""Bootstrap over independent units: it tells whether other dialogues, or other actors, would give the same.

A unit is whatever of a dataset may be taken as independent; its reader says which (`mer.data.types.Unit`). Whole units
are resampled, since the utterances inside one are alike.

Shape suffixes: N utterances, U units, S seeds, C classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mer.statistics.results import LEVEL, Interval, Paired

METRICS = ("weighted_f1", "macro_f1", "accuracy", "unweighted_accuracy")
_CHUNK = 2000  # resamples at once: 2000 x 280 units are 4 MB


def unit_bootstrap(
    metric: str,
    outputs: Sequence[np.ndarray],
    labels_N: np.ndarray,
    unit_ids: Sequence[object],
    *,
    classes: int | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval | None:
    """Return the 95 % percentile interval of a metric when whole units are resampled.

    Macro-F1 and unweighted accuracy of a resample average over the classes that it has, as those of a split do.

    Args:
        metric: one of METRICS.
        outputs: one array per seed, logits (N, C) or predicted classes (N,); with several seeds the metric is averaged
            over them inside each resample.
        labels_N: true classes in [0, C).
        unit_ids: unit of each of the N utterances.
        classes: C; needed when `outputs` are predicted classes.
    Returns: None with fewer than two units, since a single one cannot be resampled.
    Raises: ValueError when shapes or classes do not fit.
    """
    counts = _Counts.of(outputs, labels_N, unit_ids, classes)
    if counts.units < 2:
        return None
    return _percentiles(counts.resampled(metric, resamples, seed))


def paired_by_unit(
    metric: str,
    outputs_a: Sequence[np.ndarray],
    outputs_b: Sequence[np.ndarray],
    labels_N: np.ndarray,
    unit_ids: Sequence[object],
    *,
    classes: int | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Paired:
    """Return the difference a - b, both scored on the same resampled units. Arguments as `unit_bootstrap`.

    The two-sided p is twice the smaller share of resamples on one side of zero. The observed difference counts as one
    more resample, so p is never 0. `n` is the number of units.
    """
    a = _Counts.of(outputs_a, labels_N, unit_ids, classes)
    b = _Counts.of(outputs_b, labels_N, unit_ids, classes)
    if a.classes != b.classes:
        raise ValueError(f"outputs: both must have the same classes, got {a.classes} and {b.classes}")
    difference = float(a.observed(metric) - b.observed(metric))
    if a.units < 2:
        return Paired(difference, None, None, a.units, "a single one cannot be resampled")
    gaps = a.resampled(metric, resamples, seed) - b.resampled(metric, resamples, seed)
    gaps[np.abs(gaps) < 1e-12] = 0.0  # equal predictions summed in another order
    p = min(1.0, 2 * (1 + min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))) / (resamples + 1))
    note = "the same score in every resample" if not gaps.any() else ""
    return Paired(difference, _percentiles(gaps), p, a.units, note)


@dataclass(frozen=True)
class _Counts:
    """Counts per unit from which every metric follows: utterances predicted right, predicted, and true, by class."""

    right_USC: np.ndarray
    predicted_USC: np.ndarray
    support_UC: np.ndarray

    @classmethod
    def of(
        cls,
        outputs: Sequence[np.ndarray],
        labels_N: np.ndarray,
        unit_ids: Sequence[object],
        classes: int | None,
    ) -> _Counts:
        labels = np.asarray(labels_N)
        predictions, classes = _predictions([np.asarray(output) for output in outputs], len(labels), classes)
        if len(labels) == 0 or len(unit_ids) != len(labels):
            raise ValueError(f"unit_ids: one per label needed, got {len(unit_ids)} for {len(labels)} labels")
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(f"labels: must lie in [0, {classes}), got {labels.min()} to {labels.max()}")
        places: dict[object, int] = {}
        unit_N = np.array([places.setdefault(name, len(places)) for name in unit_ids])

        def count(classes_N: np.ndarray, kept_N: np.ndarray) -> np.ndarray:
            cells = unit_N[kept_N] * classes + classes_N[kept_N]
            return np.bincount(cells, minlength=len(places) * classes).reshape(len(places), classes).astype(float)

        everything = np.ones(len(labels), dtype=bool)
        return cls(
            np.stack([count(labels, predicted == labels) for predicted in predictions], axis=1),
            np.stack([count(predicted, everything) for predicted in predictions], axis=1),
            count(labels, everything),
        )

    @property
    def units(self) -> int:
        return len(self.support_UC)

    @property
    def classes(self) -> int:
        return self.support_UC.shape[1]

    def observed(self, metric: str) -> float:
        return float(self._scores(metric, np.ones((1, self.units)))[0])

    def resampled(self, metric: str, resamples: int, seed: int) -> np.ndarray:
        """Return the metric of each resample, (R,). Equal seeds draw equal units."""
        rng, U = np.random.default_rng(seed), self.units
        found = []
        for start in range(0, resamples, _CHUNK):
            rows = min(_CHUNK, resamples - start)
            drawn = rng.integers(0, U, (rows, U)) + np.arange(rows)[:, None] * U
            times_RU = np.bincount(drawn.ravel(), minlength=rows * U).reshape(rows, U).astype(float)
            found.append(self._scores(metric, times_RU))
        return np.concatenate(found)

    def _scores(self, metric: str, times_RU: np.ndarray) -> np.ndarray:
        """Return the mean over seeds of the metric, (R,), when unit u counts times_RU[r, u] times in resample r."""
        if metric not in METRICS:
            raise ValueError(f"metric: must be one of {', '.join(METRICS)}, got {metric!r}")
        U, S, C = self.right_USC.shape
        right = (times_RU @ self.right_USC.reshape(U, S * C)).reshape(-1, S, C)
        support = (times_RU @ self.support_UC)[:, None, :]
        utterances = support.sum(axis=2)
        if metric == "accuracy":
            return (right.sum(axis=2) / utterances).mean(axis=1)
        present = support > 0
        if metric == "unweighted_accuracy":
            recall = np.divide(right, support, out=np.zeros_like(right), where=present)
            return recall.mean(axis=2, where=present).mean(axis=1)
        both = support + (times_RU @ self.predicted_USC.reshape(U, S * C)).reshape(-1, S, C)
        f1 = np.divide(2 * right, both, out=np.zeros_like(right), where=both > 0)
        if metric == "weighted_f1":
            return ((support * f1).sum(axis=2) / utterances).mean(axis=1)
        return f1.mean(axis=2, where=present).mean(axis=1)


def _predictions(outputs: list[np.ndarray], n: int, classes: int | None) -> tuple[list[np.ndarray], int]:
    """Return the predicted classes (N,) of every seed, and C. Raises: ValueError when the shapes disagree."""
    if not outputs:
        raise ValueError("outputs: one array per seed needed, got none")
    widths = {output.shape[1] for output in outputs if output.ndim == 2} | ({classes} if classes else set())
    if len(widths) != 1:
        why = "predicted classes do not tell C: pass classes" if not widths else f"they disagree on C: {sorted(widths)}"
        raise ValueError(f"outputs: {why}")
    wide = widths.pop()
    predictions = []
    for output in outputs:
        if output.ndim not in (1, 2) or len(output) != n:
            raise ValueError(f"outputs: expected ({n},) or ({n}, {wide}) per seed, got {output.shape}")
        if output.ndim == 2:
            predictions.append(output.argmax(axis=1))
        elif output.dtype.kind in "iu" and (n == 0 or (output.min() >= 0 and output.max() < wide)):
            predictions.append(output)
        else:
            raise ValueError(f"outputs: predicted classes must be whole numbers in [0, {wide})")
    return predictions, wide


def _percentiles(found_R: np.ndarray) -> Interval:
    low, high = np.quantile(found_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
