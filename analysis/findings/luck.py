"""What the best of many equally good settings would seem to gain over the first, by the luck of dev alone."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.special import ndtri

from analysis.stores.study import Study
from mer.statistics import METRICS, paired_by_unit

_RESAMPLES = 2000
_LEVEL = 0.95
_SIDE = 1.96  # half a 95 % interval, in standard errors


@dataclass(frozen=True)
class Luck:
    """The gain of the best trial over trial 0, against what luck gives.

    Args:
        gain: positive when the best trial is better.
        error: standard error of the gain over resampled dialogues of dev.
        by_luck: the gain that the best of as many equal settings would show on average.
        at_most: the gain that it would stay below in 95 of 100 searches.
        trials: how many were compared; those that were stopped early too.
    """

    gain: float
    error: float
    by_luck: float
    at_most: float
    trials: int

    @property
    def is_above(self) -> bool:
        return self.gain > self.at_most


def search_luck(study: Study) -> Luck | None:
    """Compare the best trial with trial 0 on the same dev utterances. None where that cannot be told.

    The expectation of the largest of n normal values is taken at (n - 0.375) / (n + 0.25) (Blom 1958). Trials are
    taken as independent, which makes luck look a little larger than it is. Other training seeds are luck too, and are
    not in it.
    """
    best, first = study.best, study.trial(0)
    if best is None or first is None or best is first or not first.best:
        return None
    metric = study.metric.removeprefix("dev_")
    ours, theirs = study.predictions(best), study.predictions(first)
    if metric not in METRICS or ours is None or theirs is None:
        return None
    if ours.ids != theirs.ids or ours.class_names != theirs.class_names or (ours.true_N != theirs.true_N).any():
        return None
    told = paired_by_unit(
        metric, [ours.scores_NC], [theirs.scores_NC], ours.true_N, ours.dialogues, resamples=_RESAMPLES
    )
    if told.interval is None or told.difference is None:
        return None
    error = (told.interval.high - told.interval.low) / (2 * _SIDE)
    n = sum(trial is not first and study.value(trial) is not None for trial in study.trials)
    return Luck(told.difference, error, expected_largest(n) * error, largest_at(_LEVEL, n) * error, n)


def expected_largest(n: int) -> float:
    """Return about the mean of the largest of n standard normal values."""
    return max(0.0, float(ndtri((n - 0.375) / (n + 0.25)))) if n > 1 else 0.0


def largest_at(level: float, n: int) -> float:
    """Return the value that the largest of n standard normal values stays below with this probability."""
    return float(ndtri(level ** (1 / n)))
