"""Conclusions that a few seeds and a few hundred dialogues support (methods 8.2).

    results        the values that the functions return: intervals, summaries, paired differences
    over_seeds     mean and spread over seeds, the paired t test, Holm's adjustment
    folds          spread over folds beside spread over seeds, and an interval over folds
    ranks          ranks of methods over corpora
    against_claim  a mean over seeds against a published one
    over_units     bootstrap over dialogues, or whatever else of a dataset is independent
    over_numbers   the sums from which scores of numbers follow
    over_labels    the counts from which scores of several labels follow
    resampling     how units are drawn again
    sentence       a comparison as one sentence

Every number is seen in two views. Seeds tell whether another training run would give the same; units of the test data
tell whether other dialogues or actors would. A difference is reported as one when both agree. Metrics are fractions in
[0, 1], but for errors and correlations of numbers.
"""

from mer.statistics.against_claim import against_claim
from mer.statistics.folds import OverFolds, over_folds
from mer.statistics.over_seeds import describe, holm, paired_by_seed
from mer.statistics.over_units import METRICS, Scored, paired_by_unit, unit_bootstrap
from mer.statistics.ranks import Ranks, average_ranks
from mer.statistics.results import Interval, Paired, Summary
from mer.statistics.sentence import verdict

__all__ = [
    "METRICS",
    "Interval",
    "OverFolds",
    "Paired",
    "Ranks",
    "Scored",
    "Summary",
    "against_claim",
    "average_ranks",
    "describe",
    "holm",
    "over_folds",
    "paired_by_seed",
    "paired_by_unit",
    "unit_bootstrap",
    "verdict",
]
