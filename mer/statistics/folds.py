"""Statistics over folds: they tell whether other speakers or sessions would give the same; seeds do not tell that.

Shape suffixes: S seeds, F folds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mer.statistics.results import LEVEL, Interval


@dataclass(frozen=True)
class OverFolds:
    """A metric over folds and seeds.

    Args:
        mean: over both.
        sd_folds: sample standard deviation of the folds' means over seeds; None for one fold.
        sd_seeds: that of the seeds' means over folds; None for one seed.
        folds, seeds: how many.
        interval: 95 %, of the mean over folds; None for one fold.
        note: what the interval holds, and how far to trust it.
    """

    mean: float
    sd_folds: float | None
    sd_seeds: float | None
    folds: int
    seeds: int
    interval: Interval | None
    note: str


def over_folds(values_SF: np.ndarray, share: float) -> OverFolds:
    """Describe a metric of every seed and fold.

    Seeds of one fold are no further evidence about other people: they are averaged first. Folds share most of their
    training rows, so their values are alike and a plain t interval is too narrow: the variance of the mean is
    (1/F + test/train) times that of the folds (Nadeau and Bengio 2003).

    Args:
        values_SF: the metric.
        share: rows of a fold's test over those of its train.
    Raises: ValueError for values that are not finite or no table.
    """
    values = np.asarray(values_SF, dtype=np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError("values_SF: expected a table of finite numbers, a row for each seed")
    S, F = values.shape
    by_fold, by_seed = values.mean(axis=0), values.mean(axis=1)
    mean = float(values.mean())
    sd_seeds = float(by_seed.std(ddof=1)) if S > 1 else None
    if F == 1:
        return OverFolds(mean, None, sd_seeds, F, S, None, "one fold: no spread over folds can be told from it")
    sd = float(by_fold.std(ddof=1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, F - 1)) * sd * float(np.sqrt(1 / F + share))
    note = (
        f"the interval is over {F} folds, seeds averaged in each, corrected for training rows that folds share (Nadeau "
        "and Bengio 2003); few folds make it rough"
    )
    return OverFolds(mean, sd, sd_seeds, F, S, Interval(mean - half, mean + half), note)
