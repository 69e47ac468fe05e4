"""Draw the report's pictures: from a study to SVG."""

from __future__ import annotations

import json
from typing import Any

from analysis.findings import Noise
from analysis.plots import SERIES, Axis, Plot, bars, span
from analysis.stores import Range, Study, Trial, plain
from analysis.tables import is_fraction, show, words

_KIND = {"finished": "done", "stopped early": "cut", "interrupted": "open", "failed": "failed"}


def history(study: Study, noise: Noise | None) -> str:
    """Draw each trial's value over its number, the best so far among finished trials, and dev noise."""
    scored = [(trial, value) for trial in study.trials if (value := study.value(trial)) is not None]
    plot = Plot(
        Axis(-0.5, max(trial.number for trial in study.trials) + 0.5, label="trial", whole=True),
        _value_axis(study),
        f"{words(study.metric)} on dev by trial",
        width=1220,
        height=320,
    )
    if noise and study.best:
        top = study.value(study.best) or 0.0
        plot.band(*sorted((top, top - noise.error if study.larger_is_better else top + noise.error)))
    so_far: list[tuple[float, float]] = []
    for trial, value in scored:
        if trial.state == "finished":
            better = max if study.larger_is_better else min
            so_far.append((trial.number, better(value, so_far[-1][1]) if so_far else value))
    if so_far:
        so_far.append((study.trials[-1].number, so_far[-1][1]))
    plot.line(so_far, "s1", steps=True)
    for trial, value in sorted(scored, key=lambda pair: pair[0] is study.best):  # the best trial is drawn last, on top
        _mark(plot, study, trial, trial.number, value)
    for trial in study.trials:
        if trial.state == "failed" and study.value(trial) is None:
            plot.point(trial.number, plot.y.low, "failed", f"trial {trial.number}: {trial.reason}")
    return plot.svg()


def curves(study: Study, trials: list[Trial]) -> tuple[str, str]:
    """Draw the objective and the dev loss of a few trials over epochs. Returns the pictures, and their legend as HTML.

    Empty when no trial has rows.
    """
    found = [(trial, rows) for trial in trials[:SERIES] if (rows := study.history(trial))]
    if not found:
        return "", ""
    pictures = []
    panels = [study.metric, *(name for name in ("dev_loss",) if name != study.metric)]
    last = max(row["epoch"] for _, rows in found for row in rows)
    for metric in panels:
        points = [[(row["epoch"], row[metric]) for row in rows if metric in row] for _, rows in found]
        values = [value for line in points for _, value in line]
        if not values:
            continue
        y = span(values, label="", percent=is_fraction(metric))
        x = Axis(0.5, max(last, 2) + 0.5, label="epoch", whole=True)
        plot = Plot(x, y, f"{words(metric)} on dev", width=600, height=320)
        for index, line in enumerate(points):
            plot.line(line, f"s{index + 1}")
        for index, ((trial, _), line) in enumerate(zip(found, points, strict=True)):
            at = dict(line).get(trial.best.get("epoch", -1.0))
            if at is not None:
                epoch = trial.best["epoch"]
                plot.point(
                    epoch, at, f"dot s{index + 1}", f"trial {trial.number}, epoch {epoch:.0f}: {show(metric, at)}"
                )
        pictures.append(plot.svg())
    legend = "".join(
        f'<span class="key"><i class="swatch b{index + 1}"></i>trial {trial.number}'
        f"{' (best)' if trial is study.best else ''}</span>"
        for index, (trial, _) in enumerate(found)
    )
    return "".join(pictures), f'<p class="legend">{legend}<span class="key">dot: the epoch that is kept</span></p>'


def importances(shares: dict[str, float], names: dict[str, str]) -> str:
    rows = [(names[key], share, f"{100 * share:.0f} %") for key, share in shares.items()]
    return bars(rows, "share in reaching the top quarter", most=max(max(shares.values()), 1e-9))


def by_parameter(study: Study, names: dict[str, str]) -> str:
    """Draw one small scatter per parameter: the trial's score over the parameter's value."""
    pictures = []
    for key, searched in study.ranges.items():
        drawn = [(t, v) for t in study.trials if key in t.params and (v := study.value(t)) is not None]
        if not drawn:
            continue
        plot = Plot(_parameter_axis(searched), _value_axis(study, label=""), names[key], width=398, height=220)
        for trial, value in sorted(drawn, key=lambda pair: pair[0] is study.best):
            place = _place(searched, trial.params[key])
            if searched.kind == "choice":
                place += (
                    (trial.number * 7) % 11 - 5
                ) * 0.035  # shifts equal values sideways, so that their marks do not cover each other
            _mark(plot, study, trial, place, value, extra=f", {names[key]} {plain(trial.params[key])}")
        pictures.append(plot.svg())
    return "".join(pictures)


def front(study: Study, on_front: set[int]) -> str:
    """Draw two objectives against each other; trials that no other beats on both are filled green."""
    (mx, _), (my, _) = study.objectives[:2]
    x = span([t.best[mx] for t in study.finished], label=f"{words(mx)} on dev", percent=is_fraction(mx))
    y = span([t.best[my] for t in study.finished], label=f"{words(my)} on dev", percent=is_fraction(my))
    plot = Plot(x, y, "objectives against each other", width=640, height=340)
    for trial in study.finished:
        hint = f"trial {trial.number}: {show(mx, trial.best[mx])}, {show(my, trial.best[my])}"
        plot.point(trial.best[mx], trial.best[my], "best" if trial.number in on_front else "done", hint)
    return plot.svg()


def _mark(plot: Plot, study: Study, trial: Trial, x: float, value: float, extra: str = "") -> None:
    best = trial is study.best
    hint = f"trial {trial.number}, {trial.state}: {show(study.metric, value)}{extra}"
    plot.point(x, value, "best" if best else _KIND.get(trial.state, "open"), hint, radius=5.5 if best else 4.0)


def _value_axis(study: Study, label: str | None = None) -> Axis:
    values = [value for trial in study.trials if (value := study.value(trial)) is not None]
    text = words(study.metric) if label is None else label
    keep = 1.0 if study.larger_is_better else -1.0
    return span(values, label=text, percent=is_fraction(study.metric), keep=keep)


def _parameter_axis(searched: Range) -> Axis:
    if searched.kind == "choice":
        return Axis(0.0, 1.0, labels=[plain(choice) for choice in searched.choices])
    if searched.low == searched.high:
        return Axis(searched.low - 1, searched.high + 1)
    return Axis(searched.low, searched.high, log=searched.log, whole=searched.kind == "int")


def _place(searched: Range, value: Any) -> float:
    if searched.kind != "choice":
        return float(value)
    coded = [json.dumps(choice) for choice in searched.choices]  # 1 and true are equal in Python, not here
    return float(coded.index(json.dumps(value)))
