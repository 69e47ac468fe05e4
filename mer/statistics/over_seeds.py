"""Statistics over seeds: they tell whether another training run would give the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from mer.statistics.results import LEVEL, Interval, Paired, Summary


def describe(values: Sequence[float]) -> Summary:
    """Return mean, sample standard deviation (ddof 1) and 95 % t interval of the mean.

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


def paired_by_seed(a: Mapping[int, float], b: Mapping[int, float]) -> Paired:
    """Return the difference a - b with a paired t test over the seeds that both have; `n` counts them.

    Args: a, b: seed -> metric.
    Raises: ValueError when a value is not finite.
    """
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
    """Adjust p values by Holm's step-down procedure (Holm 1979), in the order given.

    None stands for a comparison that could not be tested: it stays None and does not count.
    """
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


def _t_interval(mean: float, sd: float, n: int) -> Interval:
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * sd / float(np.sqrt(n))
    return Interval(mean - half, mean + half)


def _same(numbers: np.ndarray, scale: np.ndarray) -> bool:
    """Tell whether the numbers are equal up to the rounding of numbers as large as `scale`."""
    return bool(np.ptp(numbers) <= 8 * np.finfo(np.float64).eps * np.abs(scale).max(initial=0.0))


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
