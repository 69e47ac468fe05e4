"""Intervals of numbers and of several labels: the sums of units give the scores of the rows that were drawn."""

from __future__ import annotations

import numpy as np
import pytest

from mer.statistics import Scored, paired_by_unit, unit_bootstrap
from mer.statistics.over_labels import METRICS as LABEL_METRICS
from mer.statistics.over_labels import LabelSums
from mer.statistics.over_numbers import NumberSums, metrics_of
from mer.training.label_scores import MultilabelScores
from mer.training.label_thresholds import choose_label_thresholds
from mer.training.number_scores import RegressionScores

MOSI, SIMS = (-3.0, 3.0), (-1.0, 1.0)
NAMES = ("a", "b", "c")
UNITS = [f"dia{row // 6}" for row in range(60)]


def numbers(allowed):
    rng = np.random.default_rng(1)
    most = allowed[1] if allowed else 100.0
    truth = np.round(np.clip(rng.normal(0, 0.6 * most, (60, 2)), -most, most), 1) + (0 if allowed else 1000)
    outputs = [truth + rng.normal(0, 0.3 * most, truth.shape) for _ in range(2)]
    truth[3::7, 0] = np.nan
    return outputs, truth


def drawn_rows(times_U):
    return np.concatenate([np.repeat(np.arange(unit * 6, unit * 6 + 6), int(n)) for unit, n in enumerate(times_U)])


@pytest.mark.parametrize("allowed", [None, MOSI, SIMS])
def test_a_resample_of_numbers_scores_as_its_rows_do(allowed):
    outputs, truth = numbers(allowed)
    sums = NumberSums.of(outputs, truth, UNITS, allowed)
    rng = np.random.default_rng(0)
    for times_U in (np.ones(10), rng.multinomial(10, np.full(10, 0.1)), np.eye(10)[2] * 10):
        rows = drawn_rows(times_U)
        each = [RegressionScores(x[rows], truth[rows], ("a", "b"), allowed).as_metrics("dev") for x in outputs]
        for metric in metrics_of(allowed):
            wanted = np.mean([one[f"dev_{metric}"] for one in each])
            assert sums.scores(metric, times_U[None].astype(float))[0] == pytest.approx(wanted, abs=1e-9), metric


def test_a_resample_of_labels_scores_as_its_rows_do():
    rng = np.random.default_rng(1)
    truth = (rng.random((60, 3)) < [0.5, 0.2, 0.05]).astype(float)
    truth[4::9, 1] = np.nan
    outputs = [rng.normal(size=truth.shape) + np.nan_to_num(truth) for _ in range(2)]
    sums = LabelSums.of(outputs, truth, UNITS)
    for times_U in (np.ones(10), rng.multinomial(10, np.full(10, 0.1)), np.eye(10)[2] * 10):
        rows = drawn_rows(times_U)
        for metric in LABEL_METRICS:
            wanted = np.mean([getattr(MultilabelScores(x[rows], truth[rows], NAMES), metric) for x in outputs])
            assert sums.scores(metric, times_U[None].astype(float))[0] == pytest.approx(wanted, abs=1e-12), metric


def test_intervals_hold_the_score_and_pairs_see_the_better_one():
    outputs, truth = numbers(MOSI)
    scored = Scored("regression", MOSI)
    for metric in ("ccc", "mae", "acc2_non0", "f1_non0", "acc7"):
        interval = unit_bootstrap(metric, outputs, truth, UNITS, scored=scored, resamples=500)
        score = NumberSums.of(outputs, truth, UNITS, MOSI).scores(metric, np.ones((1, 10)))[0]
        assert interval.low < score < interval.high
    worse = [output[::-1] for output in outputs]
    told = paired_by_unit("ccc", outputs, worse, truth, UNITS, scored=scored, resamples=500)
    assert told.difference > 0.5 and told.p < 0.05


def test_thresholds_of_labels_are_the_best_on_dev():
    rng = np.random.default_rng(2)
    truth = (rng.random((80, 3)) < [0.4, 0.1, 0.0]).astype(np.float32)
    dev = MultilabelScores(rng.normal(-1.5, 1, truth.shape) + truth, truth, NAMES)
    chosen = choose_label_thresholds(dev)
    assert chosen.above["c"] == 0.5 and chosen.after == chosen.shifted(dev).macro_f1 > chosen.before == dev.macro_f1
    for place, name in enumerate(NAMES[:2]):
        tried = [
            MultilabelScores(dev.logits_NC - cut, truth, NAMES).f1_C[place]
            for cut in np.sort(dev.logits_NC[:, place]) - 1e-6
        ]
        assert chosen.shifted(dev).f1_C[place] == pytest.approx(max(tried), abs=1e-12), name
