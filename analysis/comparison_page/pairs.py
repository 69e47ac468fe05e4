"""Compare studies and evaluations in pairs, on the same utterances, with p values adjusted for their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

from analysis.comparison_page.outputs import Outputs, of_evaluation, of_study
from analysis.page.words import is_fraction
from analysis.stores.evaluation import Evaluation
from analysis.stores.files import BROKEN
from analysis.stores.study import Study
from mer.errors import MerError
from mer.statistics import Scored, holm, paired_by_seed, paired_by_unit, verdict
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
    in_percent: bool = True


def study_verdicts(studies: Sequence[Study], names: Sequence[str]) -> list[Verdict]:
    """Compare the best trials on dev over resampled dialogues. Dev chose them, so the verdicts are hopeful."""
    told: list[tuple[str, str, Paired, bool]] = []
    for one, other in _pairs([study.value(study.best) if study.best else None for study in studies]):
        first, second = studies[one], studies[other]
        ours, theirs = of_study(first), of_study(second)
        metric, how = first.metric.removeprefix("dev_"), scored_of(first.task)
        if metric not in how.metrics or not first.larger_is_better or second.metric != first.metric:
            continue
        if ours is None or theirs is None or not ours.fits(theirs):
            continue
        pair = paired_by_unit(
            metric, ours.outputs, theirs.outputs, ours.truth, ours.dialogues, resamples=_RESAMPLES, scored=how
        )
        told.append((names[one], names[other], pair, is_fraction(first.metric)))
    found = []
    for (our_name, their_name, pair, share), p in zip(told, holm([pair.p for _, _, pair, _ in told]), strict=True):
        judged = replace(pair, p_adjusted=p)
        says = _sentence(our_name, their_name, judged, share)
        found.append(_verdict(our_name, their_name, judged, says, share))
    return found


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
        told.append((one, other, seeds, _by_unit(ours, theirs)))
    by_seed, by_unit = (holm([pair[view].p for pair in told]) for view in (2, 3))  # type: ignore[union-attr]
    found = []
    for (one, other, seeds, units), p_seed, p_unit in zip(told, by_seed, by_unit, strict=True):
        views = replace(seeds, p_adjusted=p_seed), replace(units, p_adjusted=p_unit)
        share = is_fraction(evaluations[one].main)
        says = verdict(names[one], names[other], *views, unit=evaluations[one].unit, in_percent=share)
        found.append(_verdict(names[one], names[other], views[0], says, share))
    return found


def scored_of(kind: str) -> Scored:
    """Say what outputs are, by the task. Args: kind: class, regression or multilabel."""
    return Scored("regression") if kind == "regression" else Scored("multilabel" if kind == "multilabel" else "class")


def _by_unit(ours: Evaluation, theirs: Evaluation) -> Paired:
    """Pair two evaluations over their dialogues or speakers; where that cannot be, the note says why."""
    first, second = of_evaluation(ours), of_evaluation(theirs)
    if first is None or second is None:
        return _unpaired("no predictions are there")
    if not first.fits(second):
        return _unpaired("the utterances are not the same")
    if (units := _units(ours, first)) is None:
        return _unpaired(
            f"results.json does not say the {ours.unit} of an utterance, `mer.evaluate --against` pairs them"
        )
    return paired_by_unit(
        ours.main, first.outputs, second.outputs, first.truth, units, resamples=_RESAMPLES, scored=scored_of(ours.kind)
    )


def _unpaired(note: str) -> Paired:
    return Paired(None, None, None, 0, note)


def _units(one: Evaluation, predictions: Outputs) -> list[str] | None:
    """Name the independent unit of each utterance; None where the results do not tell which."""
    if one.unit == "dialogue":
        return predictions.dialogues
    if one.unit_of_row:
        return one.unit_of_row if len(one.unit_of_row) == len(predictions.ids) else None
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


def _verdict(first: str, second: str, pair: Paired, says: str, in_percent: bool) -> Verdict:
    ends = (pair.interval.low, pair.interval.high) if pair.interval else None
    return Verdict(first, second, pair.difference, ends, pair.p_to_judge, says, in_percent)


def _sentence(first: str, second: str, pair: Paired, in_percent: bool) -> str:
    p, difference = pair.p_to_judge, pair.difference or 0.0
    if p is None:
        return f"{first} and {second} cannot be told apart here: {pair.note}."
    if p >= 0.05:
        return f"{first} and {second}: no difference at this sample size."
    better, worse = (first, second) if difference > 0 else (second, first)
    points = f"{100 * abs(difference):.2f} points" if in_percent else f"{abs(difference):.4f}"
    return f"{better} is above {worse} by {points} on dev, over dialogues; seeds have yet to confirm it."
