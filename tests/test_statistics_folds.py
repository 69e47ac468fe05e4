"""Spread over folds beside spread over seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mer.statistics import over_folds


def test_both_spreads_and_the_corrected_interval():
    values = np.array([[0.5, 0.6, 0.7], [0.52, 0.6, 0.74]])
    told = over_folds(values, share=0.5)
    by_fold, by_seed = values.mean(axis=0), values.mean(axis=1)
    assert told.mean == pytest.approx(values.mean())
    assert (told.sd_folds, told.sd_seeds) == (pytest.approx(by_fold.std(ddof=1)), pytest.approx(by_seed.std(ddof=1)))
    half = stats.t.ppf(0.975, 2) * by_fold.std(ddof=1) * np.sqrt(1 / 3 + 0.5)
    assert told.interval == (pytest.approx(values.mean() - half), pytest.approx(values.mean() + half))
    assert (told.folds, told.seeds) == (3, 2) and "Nadeau" in told.note


def test_more_seeds_of_the_same_folds_do_not_narrow_the_interval():
    values = np.array([[0.5, 0.6, 0.7]])
    one, many = over_folds(values, 0.5), over_folds(np.repeat(values, 20, axis=0), 0.5)
    assert many.interval == pytest.approx(one.interval) and one.sd_seeds is None
    assert many.sd_seeds == pytest.approx(0.0, abs=1e-12)


def test_the_interval_holds_more_often_than_the_plain_one():
    """Folds share training rows: of a fixed correlation, the plain t interval misses the mean far too often."""
    rng = np.random.default_rng(0)
    hits = {"corrected": 0, "plain": 0}
    for _ in range(400):
        common = rng.normal(scale=np.sqrt(0.5))  # of the training rows that folds share
        values = (common + rng.normal(scale=np.sqrt(0.5), size=5))[None]
        told = over_folds(values, share=1.0)
        half = stats.t.ppf(0.975, 4) * values.std(ddof=1) / np.sqrt(5)
        hits["corrected"] += told.interval[0] <= 0 <= told.interval[1]
        hits["plain"] += abs(values.mean()) <= half
    assert hits["corrected"] / 400 > 0.9 > 0.75 > hits["plain"] / 400


def test_one_fold_has_no_interval():
    told = over_folds(np.array([[0.5], [0.6]]), 0.5)
    assert told.interval is None and told.sd_folds is None and told.sd_seeds == pytest.approx(0.0707, abs=1e-4)


@pytest.mark.parametrize("values", [np.zeros((0, 3)), np.array([0.5, 0.6]), np.array([[np.nan, 0.5]])])
def test_refused(values):
    with pytest.raises(ValueError, match="values_SF"):
        over_folds(values, 0.5)
