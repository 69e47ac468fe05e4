"""What may be concluded from a few seeds and a few hundred dialogues (methods 8.2).

Two views of every number. Over seeds: would another training run say the same? Over dialogues: would other
conversations say the same? A difference is worth a sentence when both agree. Metrics are fractions in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

METRICS = ("weighted_f1", "macro_f1", "accuracy")
LEVEL = 0.95
_CHUNK = 2000  # resamples at once: 2000 x 280 dialogues are 4 MB


class Interval(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Mean and spread of one metric over seeds. `note` says why a part is missing or means little."""

    mean: float
    sd: float | None
    n: int
    t_interval: Interval | None
    note: str = ""


@dataclass(frozen=True)
class Paired:
    """Difference a - b in one view. `p_adjusted` is for the caller to fill in, see `holm`."""

    difference: float | None
    interval: Interval | None
    p: float | None
    n: int
    note: str = ""
    p_adjusted: float | None = None

    @property
    def p_to_judge(self) -> float | None:
        return self.p if self.p_adjusted is None else self.p_adjusted


def describe(values: Sequence[float]) -> Summary:
    """Mean, sample standard deviation (ddof 1) and 95 % t interval of the mean.

    Raises: ValueError without values, or when one is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) == 0:
        raise ValueError(f"values: expected at least one number, got {values!r}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"values: all must be finite, got {list(values)!r}")
    n = len(numbers)
    if n == 1:
        return Summary(float(numbers[0]), None, 1, None, "one seed: no spread can be told from it")
    if _same(numbers, numbers):
        mean = float(numbers[0])
        return Summary(mean, 0.0, n, Interval(mean, mean), f"all {n} values are equal: the interval has no width")
    mean, sd = float(numbers.mean()), float(numbers.std(ddof=1))
    return Summary(mean, sd, n, _t_interval(mean, sd, n))


# -- over dialogues ----------------------------------------------------------------------------------------------


def dialogue_bootstrap(
    metric: str,
    outputs: Sequence[np.ndarray],
    labels_N: np.ndarray,
    dialogue_ids: Sequence[object],
    *,
    classes: int | None = None,
    occurring_C: np.ndarray | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval | None:
    """95 % percentile interval of a metric under resampling of whole dialogues.

    Args:
        metric: weighted_f1, macro_f1 or accuracy.
        outputs: one array per seed, logits (N, C) or predicted classes (N,); with several seeds the metric is averaged
            over them inside each resample.
        labels_N: true classes in [0, C).
        dialogue_ids: the dialogue of each of the N utterances.
        classes: C; needed when `outputs` are predicted classes.
        occurring_C: bool, the classes that macro_f1 is averaged over; None: all.
    Returns: None with fewer than two dialogues, since one dialogue cannot be resampled.
    Raises: ValueError when shapes or classes do not fit.
    """
    counts = _Counts.of(outputs, labels_N, dialogue_ids, classes, occurring_C)
    if counts.dialogues < 2:
        return None
    return _percentiles(counts.resampled(metric, resamples, seed))


def paired_by_dialogue(
    metric: str,
    outputs_a: Sequence[np.ndarray],
    outputs_b: Sequence[np.ndarray],
    labels_N: np.ndarray,
    dialogue_ids: Sequence[object],
    *,
    classes: int | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Paired:
    """Difference a - b with both judged on the same resampled dialogues. Arguments as `dialogue_bootstrap`.

    The two-sided p is twice the smaller share of resamples on either side of zero, itself counted once more, so it is
    never 0; `n` is the number of dialogues.
    """
    a = _Counts.of(outputs_a, labels_N, dialogue_ids, classes)
    b = _Counts.of(outputs_b, labels_N, dialogue_ids, classes)
    if a.classes != b.classes:
        raise ValueError(f"outputs: both must have the same classes, got {a.classes} and {b.classes}")
    difference = float(a.observed(metric) - b.observed(metric))
    if a.dialogues < 2:
        return Paired(difference, None, None, a.dialogues, "one dialogue: it cannot be resampled")
    gaps = a.resampled(metric, resamples, seed) - b.resampled(metric, resamples, seed)
    gaps[np.abs(gaps) < 1e-12] = 0.0  # equal predictions summed in another order
    p = min(1.0, 2 * (1 + min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))) / (resamples + 1))
    note = "the same score in every resample" if not gaps.any() else ""
    return Paired(difference, _percentiles(gaps), p, a.dialogues, note)


@dataclass(frozen=True)
class _Counts:
    """All that the metrics need, per dialogue: D dialogues, S seeds, C classes."""

    right_DSC: np.ndarray
    predicted_DSC: np.ndarray
    support_DC: np.ndarray
    occurring_C: np.ndarray

    @classmethod
    def of(
        cls,
        outputs: Sequence[np.ndarray],
        labels_N: np.ndarray,
        dialogue_ids: Sequence[object],
        classes: int | None,
        occurring_C: np.ndarray | None = None,
    ) -> _Counts:
        labels = np.asarray(labels_N)
        predictions, classes = _predictions([np.asarray(output) for output in outputs], len(labels), classes)
        if len(labels) == 0 or len(dialogue_ids) != len(labels):
            raise ValueError(f"dialogue_ids: one per label needed, got {len(dialogue_ids)} for {len(labels)} labels")
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(f"labels: must lie in [0, {classes}), got {labels.min()} to {labels.max()}")
        places: dict[object, int] = {}
        dialogue_N = np.array([places.setdefault(name, len(places)) for name in dialogue_ids])

        def count(classes_N: np.ndarray, kept_N: np.ndarray) -> np.ndarray:
            cells = dialogue_N[kept_N] * classes + classes_N[kept_N]
            return np.bincount(cells, minlength=len(places) * classes).reshape(len(places), classes).astype(float)

        everything = np.ones(len(labels), dtype=bool)
        return cls(
            np.stack([count(labels, predicted == labels) for predicted in predictions], axis=1),
            np.stack([count(predicted, everything) for predicted in predictions], axis=1),
            count(labels, everything),
            np.ones(classes, dtype=bool) if occurring_C is None else occurring_C,
        )

    @property
    def dialogues(self) -> int:
        return len(self.support_DC)

    @property
    def classes(self) -> int:
        return self.support_DC.shape[1]

    def observed(self, metric: str) -> float:
        return float(self._scores(metric, np.ones((1, self.dialogues)))[0])

    def resampled(self, metric: str, resamples: int, seed: int) -> np.ndarray:
        """The metric in each resample, (R,); the same seed draws the same dialogues."""
        rng, D = np.random.default_rng(seed), self.dialogues
        found = []
        for start in range(0, resamples, _CHUNK):
            rows = min(_CHUNK, resamples - start)
            drawn = rng.integers(0, D, (rows, D)) + np.arange(rows)[:, None] * D
            times_RD = np.bincount(drawn.ravel(), minlength=rows * D).reshape(rows, D).astype(float)
            found.append(self._scores(metric, times_RD))
        return np.concatenate(found)

    def _scores(self, metric: str, times_RD: np.ndarray) -> np.ndarray:
        """Mean over seeds of the metric when each dialogue counts `times_RD` times."""
        if metric not in METRICS:
            raise ValueError(f"metric: must be one of {', '.join(METRICS)}, got {metric!r}")
        D, S, C = self.right_DSC.shape
        right = (times_RD @ self.right_DSC.reshape(D, S * C)).reshape(-1, S, C)
        support = (times_RD @ self.support_DC)[:, None, :]
        utterances = support.sum(axis=2)
        if metric == "accuracy":
            return (right.sum(axis=2) / utterances).mean(axis=1)
        both = support + (times_RD @ self.predicted_DSC.reshape(D, S * C)).reshape(-1, S, C)
        f1 = np.divide(2 * right, both, out=np.zeros_like(right), where=both > 0)
        if metric == "weighted_f1":
            return ((support * f1).sum(axis=2) / utterances).mean(axis=1)
        return f1.mean(axis=2, where=self.occurring_C).mean(axis=1)


def _predictions(outputs: list[np.ndarray], n: int, classes: int | None) -> tuple[list[np.ndarray], int]:
    """Predicted classes of every seed, and C."""
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


# -- over seeds --------------------------------------------------------------------------------------------------


def paired_by_seed(a: Mapping[int, float], b: Mapping[int, float]) -> Paired:
    """Difference a - b by a paired t test over the seeds (seed -> metric) that both have; `n` counts them."""
    common = sorted(set(a) & set(b))
    left_out = len(set(a) ^ set(b))
    note = f"seeds without a partner, left out: {left_out}" if left_out else ""
    if not common:
        return Paired(None, None, None, 0, "no seed in common: nothing to pair")
    first, second = (np.array([values[seed] for seed in common], dtype=np.float64) for values in (a, b))
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("values: all must be finite")
    gaps, n = first - second, len(common)
    if n == 1:
        return Paired(float(gaps[0]), None, None, 1, _join("one common seed: no spread can be told from it", note))
    if _same(gaps, np.concatenate([first, second])):
        gap = float(gaps[0])
        if abs(gap) < 1e-12:
            return Paired(0.0, Interval(0.0, 0.0), 1.0, n, _join("equal on every seed", note))
        why = f"the same difference on all {n} seeds: without variance there is no t test"
        return Paired(gap, Interval(gap, gap), None, n, _join(why, note))
    mean, sd = float(gaps.mean()), float(gaps.std(ddof=1))
    p = 2 * float(stats.t.sf(abs(mean) / (sd / np.sqrt(n)), n - 1))
    return Paired(mean, _t_interval(mean, sd, n), p, n, note)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment, in the order given. None (not testable) stays None and is not counted."""
    tested = [(p, place) for place, p in enumerate(p_values) if p is not None]
    for p, _ in tested:
        if not 0 <= p <= 1:
            raise ValueError(f"p_values: must lie in [0, 1], got {p}")
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, place) in enumerate(sorted(tested)):
        running = max(running, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = running
    return adjusted


# -- in words ----------------------------------------------------------------------------------------------------


def verdict(name_a: str, name_b: str, seeds: Paired, dialogues: Paired, *, alpha: float = 0.05) -> str:
    """One plain sentence about a - b: what the two views support, with p as adjusted where it was."""
    by_seed, by_dialogue = _supports(seeds, alpha), _supports(dialogues, alpha)
    evidence = f"{_view('seeds', seeds)}; {_view('dialogues', dialogues)}"
    if seeds.p is None and dialogues.p is None:
        return f"{name_a} and {name_b} cannot be told apart by any test here ({evidence})."
    if by_seed * by_dialogue < 0:
        return f"{name_a} and {name_b}: seeds and dialogues point in opposite directions, no conclusion ({evidence})."
    if not by_seed and not by_dialogue:
        return f"{name_a} and {name_b}: no difference at this sample size ({evidence})."
    better, worse = (name_a, name_b) if by_seed + by_dialogue > 0 else (name_b, name_a)
    shown = seeds if by_seed else dialogues
    claim = f"{better} is above {worse} by {100 * abs(shown.difference or 0.0):.2f} points"
    if by_seed and by_dialogue:
        return f"{claim}: seeds and dialogues both support it ({evidence})."
    if by_seed:
        return f"{claim} over seeds only: it may not hold on other dialogues ({evidence})."
    return f"{claim} over dialogues only: it may not hold for other seeds ({evidence})."


def _supports(view: Paired, alpha: float) -> int:
    """+1 or -1 when a or b is better in this view, 0 when it does not say."""
    p = view.p_to_judge
    return int(np.sign(view.difference or 0.0)) if p is not None and p < alpha else 0


def _view(name: str, view: Paired) -> str:
    if view.difference is None:
        return f"{name}: {view.note}"
    text = f"{view.n} {name if view.n != 1 else name[:-1]}: {100 * view.difference:+.2f}"
    if view.interval:
        text += f" [{100 * view.interval.low:+.2f}, {100 * view.interval.high:+.2f}]"
    p = view.p_to_judge
    return text + (f", p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}" if p is not None else f", {view.note}")


def _t_interval(mean: float, sd: float, n: int) -> Interval:
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * sd / float(np.sqrt(n))
    return Interval(mean - half, mean + half)


def _percentiles(found_R: np.ndarray) -> Interval:
    low, high = np.quantile(found_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def _same(numbers: np.ndarray, scale: np.ndarray) -> bool:
    """Equal up to the rounding of numbers as large as `scale`."""
    return bool(np.ptp(numbers) <= 8 * np.finfo(np.float64).eps * np.abs(scale).max(initial=0.0))


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
