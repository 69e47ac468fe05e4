"""Compute what a study shows: noise of dev, trials within it, importances, ranges that were too narrow."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from analysis.stores import Range, Study, Trial, plain
from analysis.tables import is_fraction

ENOUGH_FOR_IMPORTANCE = 20  # finished trials; PED-ANOVA wants at least 5 in its top group, here a quarter
EDGE = 0.05  # of the range, on its own scale


@dataclass(frozen=True)
class Noise:
    """Binomial standard error of accuracy on dev: how far chance alone moves a score."""

    utterances: int
    error: float

    @property
    def points(self) -> str:
        return f"{100 * self.error:.1f}"


def dev_noise(study: Study) -> Noise | None:
    """Compute the noise from the best trial's accuracy and the number of dev utterances.

    Returns: None when no predictions were kept.
    """
    if study.best is None or not is_fraction(study.metric):
        return None
    predictions = study.predictions(study.best)
    if predictions is None or not predictions.pairs:
        return None
    n = len(predictions.pairs)
    accuracy = sum(true == predicted for true, predicted in predictions.pairs) / n
    return Noise(n, math.sqrt(accuracy * (1 - accuracy) / n))


def indistinct(study: Study, noise: Noise) -> int:
    """List the finished trials within one standard error of the best, including the best."""
    top = study.value(study.finished[0]) or 0.0
    return sum(abs((study.value(trial) or 0.0) - top) <= noise.error for trial in study.finished)


def pareto_front(study: Study) -> list[Trial]:
    """List the finished trials that no other beats on every objective, by number."""
    signs = [1 if mode == "max" else -1 for _, mode in study.objectives]
    points = {
        t.number: [s * t.best[m] for s, (m, _) in zip(signs, study.objectives, strict=True)] for t in study.finished
    }

    def beaten(number: int) -> bool:
        mine = points[number]
        return any(all(a >= b for a, b in zip(p, mine, strict=True)) and p != mine for p in points.values())

    return sorted((t for t in study.finished if not beaten(t.number)), key=lambda t: t.number)


def importance(study: Study) -> dict[str, float] | str:
    """Compute the share of each parameter in reaching the top quarter (PED-ANOVA), or say why that is not possible."""
    n = len(study.finished)
    if n < ENOUGH_FOR_IMPORTANCE:
        why = f"{n} finished trial{'s' if n != 1 else ''}: too few to tell which parameter matters"
        return f"{why} ({ENOUGH_FOR_IMPORTANCE} are needed; those stopped early do not count)."
    if len(study.ranges) < 2:
        return "Fewer than two parameters were searched: there is nothing to divide between them."
    if len({study.value(trial) for trial in study.finished}) == 1:
        return "All finished trials have the same value."
    memory = optuna.create_study(
        directions=["maximize" if mode == "max" else "minimize" for _, mode in study.objectives]
    )
    memory.add_trials([trial.frozen for trial in study.finished])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return get_param_importances(memory, evaluator=PedAnovaImportanceEvaluator(target_quantile=0.25))
    except (ValueError, RuntimeError) as fault:  # e.g. no parameter that varies
        return f"Optuna cannot tell: {fault}"


def edge(study: Study, name: str) -> tuple[str, str]:
    """Locate the best trial's value in its range and say in a sentence whether the range was too narrow."""
    searched, best = study.ranges[name], study.best
    if best is None:
        return "", "No trial has finished."
    if name not in best.params:
        return "", f"Not drawn for the best trial (only when {searched.condition})."
    value = best.params[name]
    place = position(searched, value)
    if place is None:
        return "", "The choices have no order: there is no edge."
    low, high = _ends(searched)
    where = f"{100 * place:.0f} %"
    if EDGE < round(place, 2) < 1 - EDGE:  # as shown
        return where, "Inside: no sign that the range is too narrow."
    side, end = ("lower", low) if place < 0.5 else ("upper", high)
    return where, f"At the {side} end ({plain(end)}): if values beyond it make sense, widen the range there."


def position(searched: Range, value: object) -> float | None:
    """Return the place of a value in its range: 0 at the low end, 1 at the high end.

    Logarithmic ranges are measured on their own scale. None for choices without an order.
    """
    if searched.kind == "choice":
        if not _ordered(searched):
            return None
        choices = sorted(searched.choices)
        return choices.index(value) / (len(choices) - 1)
    assert isinstance(value, int | float)
    scale = math.log if searched.log else float
    low, high = scale(searched.low), scale(searched.high)
    return (scale(value) - low) / (high - low)


def _ordered(searched: Range) -> bool:
    numbers = all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in searched.choices)
    return numbers and len(searched.choices) >= 3


def _ends(searched: Range) -> tuple[object, object]:
    if searched.kind == "choice":
        return min(searched.choices), max(searched.choices)
    ends = (searched.low, searched.high)
    return (int(ends[0]), int(ends[1])) if searched.kind == "int" else ends
