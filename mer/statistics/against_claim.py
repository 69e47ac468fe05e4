"""A mean over seeds against a number that somebody has published."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from mer.statistics.over_seeds import describe
from mer.statistics.results import LEVEL, Interval, Paired


def against_claim(values: Sequence[float], claimed: float, sd: float | None = None, n: int | None = None) -> Paired:
    """Return the difference of the mean of `values` and a claimed mean, with a 95 % interval and a p value.

    Where the claim says its own spread and number of seeds, both are counted (Welch 1947); else the claimed number is
    taken as exact, which makes the interval too narrow.

    Args:
        values: of the seeds that were trained here.
        sd: sample standard deviation of the claim.
        n: seeds of the claim.
    Raises: ValueError without values, or when one is not finite.
    """
    own = describe(values)
    difference = own.mean - claimed
    if own.sd is None:
        return Paired(difference, None, None, own.n, "one seed: no spread can be told from it")
    error, freedom, note = own.sd**2 / own.n, float(own.n - 1), "the claimed number is taken as exact"
    if sd is not None and n is not None and n > 1:
        theirs, ours = sd**2 / n, error
        error, note = ours + theirs, ""
        if error > 0:
            freedom = error**2 / (ours**2 / (own.n - 1) + theirs**2 / (n - 1))
    if error == 0:
        same = bool(np.isclose(difference, 0.0, atol=1e-12))
        return Paired(difference, Interval(difference, difference), 1.0 if same else 0.0, own.n, "no spread at all")
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * float(np.sqrt(error))
    p = float(2 * stats.t.sf(abs(difference) / np.sqrt(error), freedom))
    return Paired(difference, Interval(difference - half, difference + half), p, own.n, note)
