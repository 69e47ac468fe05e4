"""Resampling of whole units, for sums of any kind from which a metric follows.

Shape suffixes: U units, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mer.statistics.results import LEVEL, Interval

_CHUNK = 2000  # resamples at once: 2000 x 280 units are 4 MB


def unit_numbers(unit_ids: Sequence[object]) -> np.ndarray:
    """Number the units of rows in the order in which they come, (N,)."""
    places: dict[object, int] = {}
    return np.array([places.setdefault(name, len(places)) for name in unit_ids], dtype=np.int64)


def sum_by_unit(values: np.ndarray, unit_N: np.ndarray) -> np.ndarray:
    """Add up the rows (N, ...) of each unit: (U, ...) float64."""
    total = np.zeros((int(unit_N.max()) + 1, *values.shape[1:]))
    np.add.at(total, unit_N, values)
    return total


def times(times_RU: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Add up sums of units (U, ...), each as often as it was drawn: (R, ...)."""
    total: np.ndarray = (times_RU @ sums.reshape(len(sums), -1)).reshape(len(times_RU), *sums.shape[1:])
    return total


def resampled(score: Callable[[np.ndarray], np.ndarray], units: int, resamples: int, seed: int) -> np.ndarray:
    """Return the score of each resample, (R,). Equal seeds draw equal units.

    Args: score: how often each unit counts (R, U) -> scores (R,).
    """
    rng = np.random.default_rng(seed)
    found = []
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        drawn = rng.integers(0, units, (rows, units)) + np.arange(rows)[:, None] * units
        found.append(score(np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(float)))
    return np.concatenate(found)


def percentiles(found_R: np.ndarray) -> Interval:
    """Return the interval between the outer quantiles of resampled scores."""
    low, high = np.quantile(found_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
