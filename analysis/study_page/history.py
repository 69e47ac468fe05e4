"""Draw the value of each trial over its number, on the page and as a picture of its own."""

from __future__ import annotations

from analysis.findings.chance import Noise
from analysis.page.html import note, paragraph
from analysis.page.words import words
from analysis.plots.axis import Axis
from analysis.plots.picture import WIDE, both, endings_key, stand_alone
from analysis.plots.plot import Plot
from analysis.stores.study import Study
from analysis.study_page.marks import put, scored, value_axis


def history_html(study: Study, noise: Noise | None) -> str:
    """Build the history for the page, with its legend."""
    trials = scored(study)
    if not trials:
        return paragraph("No trial has reported a value.")
    html = both(lambda width: history_svg(study, noise, width))
    html += endings_key(html)
    if len(trials) == 1:
        html += note("Only one trial has a value: there is no course to see yet.")
    if study.finished:
        shaded = f" Shaded: within one standard error ({noise.points} points) of the best." if noise else ""
        html += note(f"Line: best so far among finished trials.{shaded}")
    return html


def history_svg(study: Study, noise: Noise | None, width: int) -> str:
    """Draw each trial's value over its number, the best so far among finished trials, and dev noise."""
    trials = scored(study)
    last = max(trial.number for trial in study.trials)
    says = f"{words(study.metric)} on dev of {len(trials)} trials by their number"
    plot = Plot(
        Axis(-0.5, last + 0.5, label="trial", whole=True),
        value_axis(study),
        f"{words(study.metric)} on dev by trial",
        width=width,
        height=320 if width > 600 else 290,
        says=says + (f"; the best is trial {study.best.number}" if study.best else ""),
    )
    if noise and study.best:
        top = study.value(study.best) or 0.0
        plot.band(*sorted((top, top - noise.error if study.larger_is_better else top + noise.error)))
    so_far: list[tuple[float, float]] = []
    better = max if study.larger_is_better else min
    for trial, value in sorted(trials, key=lambda pair: pair[0].number):
        if trial.state == "finished":
            so_far.append((trial.number, better(value, so_far[-1][1]) if so_far else value))
    if so_far:
        so_far.append((last, so_far[-1][1]))
    plot.line(so_far, "s1", steps=True)
    keys = list(study.ranges)
    for trial, value in trials:
        put(plot, study, trial, trial.number, value, keys)
    for trial in study.trials:
        if trial.state == "failed" and study.value(trial) is None:
            hint = f"trial {trial.number}, failed\n{trial.reason}"
            plot.point(trial.number, plot.y.low, "failed", hint, trial=trial.number)
    return plot.svg()


def history_picture(study: Study, noise: Noise | None) -> str | None:
    """Draw the history as a file of its own, light or dark as its reader has it; None before a trial has a value."""
    if not scored(study):
        return None
    return stand_alone(history_svg(study, noise, WIDE))
