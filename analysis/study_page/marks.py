"""How a trial is drawn and named, in every plot of a study's page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from analysis.page.words import is_fraction, plain, show, words
from analysis.plots.axis import Axis, span
from analysis.plots.plot import Plot
from analysis.stores.study import Range, Study, Trial

_KIND = {"finished": "done", "stopped early": "cut", "interrupted": "open", "failed": "failed"}
MOST_MARKS = 800  # in a plot that stands beside others


def kind(study: Study, trial: Trial) -> str:
    """Return the CSS class of a trial's mark."""
    return "best" if trial is study.best else _KIND.get(trial.state, "open")


def hint(study: Study, trial: Trial, keys: Sequence[str] = ()) -> str:
    """Word a trial's tooltip: number, ending, value, and these parameters."""
    names = study.names
    drawn = "\n".join(f"{names[key]} {plain(trial.params[key])}" for key in keys if key in trial.params)
    at = f" at epoch {trial.best['epoch']:.0f}" if "epoch" in trial.best else ""
    value = f"{words(study.metric)} {show(study.metric, study.value(trial))}{at}"
    why = f"\n{trial.reason}" if trial.state == "failed" and trial.reason else ""
    return f"trial {trial.number}, {trial.state}\n{value}" + (f"\n{drawn}" if drawn else "") + why


def put(plot: Plot, study: Study, trial: Trial, x: float, value: float, keys: Sequence[str] = ()) -> None:
    """Add a trial's mark to a plot."""
    is_best = trial is study.best
    radius = 5.5 if is_best else 4.0
    plot.point(x, value, kind(study, trial), hint(study, trial, keys), radius=radius, trial=trial.number)


def scored(study: Study) -> list[tuple[Trial, float]]:
    """List the trials that have a value; the best one last, so that its mark lies on top."""
    found = [(trial, value) for trial in study.trials if (value := study.value(trial)) is not None]
    return sorted(found, key=lambda pair: pair[0] is study.best)


def thinned(study: Study, trials: list[tuple[Trial, float]], most: int = MOST_MARKS) -> list[tuple[Trial, float]]:
    """Keep at most so many trials: half of them the best, half spread over the others; the best one last."""
    if len(trials) <= most:
        return trials
    ranked = study.by_value([trial for trial, _ in trials])
    rest = ranked[most // 2 :]
    kept = {trial.number for trial in [*ranked[: most // 2], *rest[:: -(-len(rest) // (most // 2))]]}
    return [pair for pair in trials if pair[0].number in kept or pair[0] is study.best]


def value_axis(study: Study, label: str | None = None) -> Axis:
    """Make the axis of the first objective."""
    values = [value for _, value in scored(study)]
    text = words(study.metric) + (" %" if is_fraction(study.metric) else "") if label is None else label
    keep = 1.0 if study.larger_is_better else -1.0
    return span(values, label=text, percent=is_fraction(study.metric), keep=keep)


def varied(study: Study) -> list[str]:
    """List the parameters that took at least two values: the others have nothing to show."""
    seen = {
        key: {json.dumps(trial.params[key]) for trial in study.trials if key in trial.params} for key in study.ranges
    }
    return [key for key, values in seen.items() if len(values) > 1]


def parameter_axis(searched: Range, label: str = "") -> Axis:
    """Make the axis of a parameter, on the scale it was searched on."""
    if searched.kind == "choice":
        return Axis(0.0, 1.0, label=label, labels=[plain(choice) for choice in searched.choices])
    return Axis(searched.low, searched.high, log=searched.log, whole=searched.kind == "int", label=label)


def place(searched: Range, value: Any) -> float | None:
    """Return where a value lies on its parameter's axis; None for one that is not among the choices."""
    if searched.kind != "choice":
        return float(value)
    coded = [json.dumps(choice) for choice in searched.choices]  # 1 and true are equal in Python, not here
    return float(coded.index(text)) if (text := json.dumps(value)) in coded else None


def aside(trial: Trial, axis: int = 0) -> float:
    """Shift equal choices apart, so that their marks do not cover each other. Args: axis: the second spreads otherwise.

    Numbers times these ratios fill a square evenly (the R2 sequence, Roberts 2018).
    """
    return (trial.number * (0.7548776662, 0.5698402910)[axis] % 1 - 0.5) * 0.56


def drawn(trial: Trial, key: str) -> Any:
    """Return what was drawn for a parameter, as a cell of a table: a number, else text; None where nothing was."""
    if key not in trial.params:
        return None
    value = trial.params[key]
    return plain(value) if isinstance(value, list | bool) or value is None else value
