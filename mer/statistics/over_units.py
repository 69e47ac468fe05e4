"""Bootstrap over independent units: it tells whether other dialogues, or other actors, would give the same.

A unit is whatever of a dataset may be taken as independent; its reader says which (`mer.data.types.Unit`). Whole units
are resampled, since the utterances inside one are alike.

Shape suffixes: N utterances, U units, S seeds, C classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mer.config import TargetKind
from mer.statistics import over_labels, over_numbers
from mer.statistics.resampling import percentiles, resampled, unit_numbers
from mer.statistics.results import Interval, Paired

METRICS = ("weighted_f1", "macro_f1", "accuracy", "unweighted_accuracy")


@dataclass(frozen=True)
class Scored:
    """What the outputs are, where they are no classes.

    Args:
        task: regression (numbers) or multilabel (scores of labels).
        allowed: range of the numbers, which chooses the accuracies of the papers.
    """

    task: TargetKind = "class"
    allowed: tuple[float, float] | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that can be resampled."""
        if self.task == "regression":
            return over_numbers.metrics_of(self.allowed)
        return over_labels.METRICS if self.task == "multilabel" else METRICS


_CLASSES = Scored()


def unit_bootstrap(
    metric: str,
    outputs: Sequence[np.ndarray],
    labels_N: np.ndarray,
    unit_ids: Sequence[object],
    *,
    classes: int | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    scored: Scored = _CLASSES,
) -> Interval | None:
    """Return the 95 % percentile interval of a metric when whole units are resampled.

    Macro-F1 and unweighted accuracy of a resample average over the classes that it has, as those of a split do.

    Args:
        metric: one of METRICS, of classes.
        outputs: one array per seed, logits (N, C) or predicted classes (N,); with several seeds the metric is averaged
            over them inside each resample.
        labels_N: true classes in [0, C).
        unit_ids: unit of each of the N utterances.
        classes: C; needed when `outputs` are predicted classes.
        scored: says what outputs and labels are, where they are no classes: (N, C) both, NaN for what a row does not
            say, and `metric` is one of `scored.metrics`.
    Returns: None with fewer than two units, since a single one cannot be resampled.
    Raises: ValueError when shapes or classes do not fit.
    """
    sums = _sums(outputs, labels_N, unit_ids, classes, scored)
    if sums.units < 2:
        return None
    return percentiles(resampled(lambda times_RU: sums.scores(metric, times_RU), sums.units, resamples, seed))


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
    scored: Scored = _CLASSES,
) -> Paired:
    """Return the difference a - b, both scored on the same resampled units. Arguments as `unit_bootstrap`.

    The two-sided p is twice the smaller share of resamples on one side of zero. The observed difference counts as one
    more resample, so p is never 0. `n` is the number of units.
    """
    a = _sums(outputs_a, labels_N, unit_ids, classes, scored)
    b = _sums(outputs_b, labels_N, unit_ids, classes, scored)
    if a.classes != b.classes:
        raise ValueError(f"outputs: both must have the same classes, got {a.classes} and {b.classes}")
    once_1U = np.ones((1, a.units))
    difference = float(a.scores(metric, once_1U)[0]) - float(b.scores(metric, once_1U)[0])
    if a.units < 2:
        return Paired(difference, None, None, a.units, "a single one cannot be resampled")
    first, second = (
        resampled(lambda times_RU, of=of: of.scores(metric, times_RU), of.units, resamples, seed)  # type: ignore[misc]
        for of in (a, b)
    )
    gaps = first - second
    gaps[np.abs(gaps) < 1e-12] = 0.0  # equal predictions summed in another order
    p = min(1.0, 2 * (1 + min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))) / (resamples + 1))
    note = "the same score in every resample" if not gaps.any() else ""
    return Paired(difference, percentiles(gaps), p, a.units, note)


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
        unit_N = unit_numbers(unit_ids)
        units = int(unit_N.max()) + 1

        def count(classes_N: np.ndarray, kept_N: np.ndarray) -> np.ndarray:
            cells = unit_N[kept_N] * classes + classes_N[kept_N]
            return np.bincount(cells, minlength=units * classes).reshape(units, classes).astype(float)

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

    def scores(self, metric: str, times_RU: np.ndarray) -> np.ndarray:
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


Sums = _Counts | over_numbers.NumberSums | over_labels.LabelSums


def _sums(
    outputs: Sequence[np.ndarray],
    labels: np.ndarray,
    unit_ids: Sequence[object],
    classes: int | None,
    scored: Scored,
) -> Sums:
    """Add up per unit what the metrics of the task follow from."""
    if scored.task == "regression":
        return over_numbers.NumberSums.of(outputs, labels, unit_ids, scored.allowed)
    if scored.task == "multilabel":
        return over_labels.LabelSums.of(outputs, labels, unit_ids)
    return _Counts.of(outputs, labels, unit_ids, classes)
