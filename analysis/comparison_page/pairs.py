"""Compare studies and evaluations in pairs, on the same utterances, with p values adjusted for their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

from analysis.evaluation_page.classes import alike
from analysis.page.words import is_fraction
from analysis.stores.evaluation import Evaluation
from analysis.stores.files import BROKEN
from analysis.stores.predictions import Predictions
from analysis.stores.study import Study
from mer.errors import MerError
from mer.statistics import METRICS, holm, paired_by_seed, paired_by_unit, verdict
from mer.statistics.results import Paired

_RESAMPLES = 4000
_MOST_PAIRS = 45  # ten of a kind; more are compared with the best alone


class Verdict(NamedTuple):
    """Two names, the difference of the first minus the second, and what it supports."""

    first: str
    second: str
    difference: float | None
    interval: tuple[float, float] | None
    p: float | None
    says: str


def study_verdicts(studies: Sequence[Study], names: Sequence[str]) -> list[Verdict]:
    """Compare the best trials on dev over resampled dialogues. Dev chose them, so the verdicts are hopeful."""
    told: list[tuple[str, str, Paired]] = []
    for one, other in _pairs([study.value(study.best) if study.best else None for study in studies]):
        ours, theirs = (
            study.predictions(study.best) if study.best else None for study in (studies[one], studies[other])
        )
        metric = studies[one].metric.removeprefix("dev_")
        if metric not in METRICS or studies[other].metric != studies[one].metric or not _same(ours, theirs):
            continue
        assert ours is not None and theirs is not None
        pair = paired_by_unit(
            metric, [ours.scores_NC], [theirs.scores_NC], ours.true_N, ours.dialogues, resamples=_RESAMPLES
        )
        told.append((names[one], names[other], pair))
    adjusted = holm([pair.p for _, _, pair in told])
    return [
        _verdict(first, second, replace(pair, p_adjusted=p), _sentence(first, second, replace(pair, p_adjusted=p)))
        for (first, second, pair), p in zip(told, adjusted, strict=True)
    ]


def evaluation_verdicts(evaluations: Sequence[Evaluation], names: Sequence[str]) -> list[Verdict]:
    """Compare evaluations of the same split on their main metric, paired by seed and by dialogue."""
    told: list[tuple[int, int, Paired, Paired]] = []
    means = [
        sum(values) / len(values) if (values := list(one.values(one.main).values())) else None for one in evaluations
    ]
    for one, other in _pairs(means):
        ours, theirs = evaluations[one], evaluations[other]
        if ours.group != theirs.group or ours.kind != theirs.kind:
            continue
        seeds = paired_by_seed(ours.values(ours.main), theirs.values(ours.main))
        first, second = alike(ours), alike(theirs)
        units = Paired(None, None, None, 0, "the utterances are not the same, or no predictions are there")
        names_of_units = _units(ours, first[0]) if first else None
        if first and second and names_of_units and _same(first[0], second[0]):
            units = paired_by_unit(
                "weighted_f1",
                [found.scores_NC for found in first],
                [found.scores_NC for found in second],
                first[0].true_N,
                names_of_units,
                resamples=_RESAMPLES,
            )
        told.append((one, other, seeds, units))
    by_seed, by_unit = (holm([pair[view].p for pair in told]) for view in (2, 3))  # type: ignore[union-attr]
    found = []
    for (one, other, seeds, units), p_seed, p_unit in zip(told, by_seed, by_unit, strict=True):
        views = replace(seeds, p_adjusted=p_seed), replace(units, p_adjusted=p_unit)
        says = verdict(
            names[one], names[other], *views, unit=evaluations[one].unit, in_percent=is_fraction(evaluations[one].main)
        )
        found.append(_verdict(names[one], names[other], views[0], says))
    return found


def _units(one: Evaluation, predictions: Predictions) -> list[str] | None:
    """Name the independent unit of each utterance; None where the results do not tell which."""
    if one.unit == "dialogue":
        return predictions.dialogues
    from mer.data.registry import find_dataset

    try:
        unit = find_dataset(one.group[0]).unit
        return [unit.of(name) for name in predictions.ids] if unit.name == one.unit else None
    except (MerError, *BROKEN):
        return None


def _pairs(values: Sequence[float | None]) -> list[tuple[int, int]]:
    """List the pairs to compare: all, or where those are many, each with the best."""
    there = [index for index, value in enumerate(values) if value is not None]
    pairs = list(combinations(there, 2))
    if len(pairs) <= _MOST_PAIRS:
        return pairs
    best = max(there, key=lambda index: values[index] or 0.0)
    return [(best, index) for index in there if index != best]


def _same(ours: Predictions | None, theirs: Predictions | None) -> bool:
    if ours is None or theirs is None:
        return False
    return (
        ours.ids == theirs.ids and ours.class_names == theirs.class_names and bool((ours.true_N == theirs.true_N).all())
    )


def _verdict(first: str, second: str, pair: Paired, says: str) -> Verdict:
    ends = (pair.interval.low, pair.interval.high) if pair.interval else None
    return Verdict(first, second, pair.difference, ends, pair.p_to_judge, says)


def _sentence(first: str, second: str, pair: Paired) -> str:
    p, difference = pair.p_to_judge, pair.difference or 0.0
    if p is None:
        return f"{first} and {second} cannot be told apart here: {pair.note}."
    if p >= 0.05:
        return f"{first} and {second}: no difference at this sample size."
    better, worse = (first, second) if difference > 0 else (second, first)
    points = f"{100 * abs(difference):.2f} points"
    return f"{better} is above {worse} by {points} on dev, over dialogues; seeds have yet to confirm it."
