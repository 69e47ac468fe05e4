"""Ranks over corpora, and a mean against a claimed one: equal to scipy, and right where nothing can be told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mer.statistics import against_claim, average_ranks

SCORES = {
    "a": {"x": 0.61, "y": 0.60, "z": 0.55},
    "b": {"x": 0.40, "y": 0.42, "z": 0.39},
    "c": {"x": 0.70, "y": 0.70, "z": 0.50},
    "d": {"x": 0.31, "y": 0.30, "z": 0.20},
}


def test_ranks_by_hand():
    found = average_ranks(SCORES)
    assert found.by_corpus["a"] == {"x": 1.0, "y": 2.0, "z": 3.0}
    assert found.by_corpus["c"] == {"x": 1.5, "y": 1.5, "z": 3.0}  # equal scores share their places
    assert found.average == {"x": 1.375, "y": 1.625, "z": 3.0} and list(found.average) == ["x", "y", "z"]
    values = [[of[name] for of in SCORES.values()] for name in "xyz"]
    assert found.p == pytest.approx(stats.friedmanchisquare(*values).pvalue)
    assert "4 corpora are few" in found.note


def test_where_friedman_says_nothing():
    few = average_ranks({name: SCORES[name] for name in ("a", "b")})
    assert few.p is None and few.note == "Friedman's test needs 3 methods and 3 corpora: 3 and 2 are here"
    equal = average_ranks({name: {"x": 0.5, "y": 0.5, "z": 0.5} for name in "abc"})
    assert equal.p is None and set(equal.average.values()) == {2.0}


@pytest.mark.parametrize(
    "scores", [{}, {"a": {"x": 1.0}, "b": {"y": 1.0}}, {"a": {"x": float("nan"), "y": 0.5}}], ids=str
)
def test_what_cannot_be_ranked(scores):
    with pytest.raises(ValueError, match="scores: "):
        average_ranks(scores)


def test_a_claim_without_spread_is_taken_as_exact():
    values = [0.60, 0.61, 0.62, 0.605]
    found = against_claim(values, 0.60)
    expected = stats.ttest_1samp(values, 0.60)
    assert found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert found.interval == pytest.approx((low - 0.60, high - 0.60))
    assert found.difference == pytest.approx(np.mean(values) - 0.60) and "taken as exact" in found.note


def test_a_claim_with_spread_is_welch():
    ours, theirs = [0.60, 0.61, 0.62, 0.605], [0.58, 0.60, 0.59, 0.57, 0.585]
    found = against_claim(ours, float(np.mean(theirs)), float(np.std(theirs, ddof=1)), 5)
    expected = stats.ttest_ind(ours, theirs, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.note == "" and found.n == 4


def test_one_seed_and_no_spread():
    assert against_claim([0.6], 0.5).interval is None
    same = against_claim([0.5, 0.5], 0.5)
    assert same.interval == (0.0, 0.0) and same.p == 1.0
    assert against_claim([0.5, 0.5], 0.4).p == 0.0
