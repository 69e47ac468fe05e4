"""Show what the parameters do: importance, each one alone, the two most important, ranges that were too narrow."""

from __future__ import annotations

from analysis.findings.advice import edge
from analysis.findings.importance import ENOUGH, SETTLED, Importance
from analysis.page.document import Section
from analysis.page.html import note, paragraph, plots
from analysis.page.tables import Table
from analysis.page.words import plain, show, words
from analysis.plots.axis import Axis
from analysis.plots.picture import USUAL, endings_key, figure
from analysis.plots.plot import Plot
from analysis.plots.surface import shaded
from analysis.stores.study import Study, Trial
from analysis.study_page.marks import (
    MOST_MARKS,
    aside,
    hint,
    kind,
    parameter_axis,
    place,
    put,
    scored,
    thinned,
    value_axis,
    varied,
)


def importances(study: Study, found: Importance | str) -> Section:
    title = "Parameter importance"
    if isinstance(found, str):
        return Section("importance", title, paragraph(found))
    cut = f" and {found.cut} that were stopped early, which count in the rest" if found.cut else ""
    text = (
        f"PED-ANOVA over {found.finished} finished trials{cut}: each parameter's share in telling the top "
        f"{100 * found.top:.0f} % from the rest."
    )
    rows = [[key, share, share] for key, share in found.shares.items()]
    most = max(found.shares.values())
    table = Table("importance", ["parameter", "share", " "], rows, {"share": _percent}, lanes={" ": most})
    unsettled = (
        f"{found.trials} trials are few: expect another order with other trials, and trust large differences only."
        if found.trials < SETTLED
        else "The order of neighbours is not settled even by so many trials."
    )
    caution = " A large share says that the parameter matters in this range, not which value is right."
    if found.seldom:
        caution += f" Drawn in fewer than {ENOUGH} of these trials, and left out: "
        caution += f"{', '.join(study.names[key] for key in found.seldom)}."
    file = Table("importance", ["parameter", "share"], [row[:2] for row in rows], {"share": _percent})
    return Section("importance", title, paragraph(text) + table.html() + note(unsettled + caution), [file])


def slices(study: Study) -> Section:
    """Draw one small plot per parameter that took at least two values: the trial's score over the value."""
    title, names, keys = "Value against each parameter", study.names, varied(study)
    trials = scored(study)
    pictures = []
    for key in keys:
        having = thinned(study, [(trial, value) for trial, value in trials if key in trial.params])
        if having:
            pictures.append(figure(_slice(study, key, names[key], having)))
    if not pictures:
        return Section("parameters", title, paragraph("No parameter took two values in trials that have a score."))
    html = endings_key("".join(pictures)) + plots(*pictures)
    if left := [names[key] for key in study.ranges if key not in keys]:
        html += note(f"No plot for what took a single value: {', '.join(left)}.")
    if len(trials) > MOST_MARKS:
        html += note(f"Of {len(trials)} trials {MOST_MARKS} are drawn: the better half, and the others evenly thinned.")
    return Section("parameters", title, html)


def _slice(study: Study, key: str, name: str, having: list[tuple[Trial, float]]) -> str:
    """Draw one parameter: numbers from left to right, choices one below the other so that their names can be read."""
    searched, across = study.ranges[key], value_axis(study, "")
    own = parameter_axis(searched)
    if searched.kind != "choice":
        plot = Plot(own, across, name, width=USUAL, height=230, says=f"{words(study.metric)} over {name}")
    else:
        height = max(150, min(420, 66 + 30 * len(searched.choices)))
        plot = Plot(across, own, name, width=USUAL, height=height, says=f"{words(study.metric)} for each {name}")
    for trial, value in having:
        at = place(searched, trial.params[key])
        if at is None:
            continue
        if searched.kind != "choice":
            put(plot, study, trial, at, value, [key])
        else:
            put(plot, study, trial, value, at + aside(trial), [key])
    return plot.svg()


def two_most(study: Study, found: Importance | str) -> Section | None:
    """Draw the two most important parameters against each other, shaded by the value of the trials around."""
    keys = [key for key in found.shares if key in varied(study)] if isinstance(found, Importance) else []
    if len(keys) < 2:
        return None
    names, (first, second) = study.names, keys[:2]
    having = [(trial, value) for trial, value in scored(study) if first in trial.params and second in trial.params]
    having = thinned(study, having)
    axes = [parameter_axis(study.ranges[key], names[key]) for key in (first, second)]
    spots: list[tuple[Trial, float, float, float]] = []
    for trial, value in having:
        ends = [place(study.ranges[key], trial.params[key]) for key in (first, second)]
        if ends[0] is not None and ends[1] is not None:
            spread = [aside(trial, side) if axis.labels else 0.0 for side, axis in enumerate(axes)]
            spots.append((trial, value, ends[0] + spread[0], ends[1] + spread[1]))
    if len(spots) < 5:
        return None
    title = "The two most important parameters"
    plot = Plot(axes[0], axes[1], f"{names[first]} and {names[second]}", width=600, height=420)
    small = Plot(axes[0], axes[1], f"{names[first]} and {names[second]}", width=390, height=330)
    places = [(_inside(axes[0], x), _inside(axes[1], y)) for _, _, x, y in spots]
    fields = list(shaded(places, [value for _, value, _, _ in spots], larger_is_better=study.larger_is_better))
    for picture in (plot, small):
        for across, up, step in fields:
            picture.cell(across, up, step)
        for trial, _, x, y in spots:
            _spot(picture, study, trial, x, y, [first, second])
    html = figure(plot.svg(), "on-wide") + figure(small.svg(), "on-narrow")
    html += endings_key(html)
    html += note("Deeper colour: trials near there rank higher (a kernel mean of ranks). No colour: no trial is near.")
    return Section("contour", title, html)


def _spot(plot: Plot, study: Study, trial: Trial, x: float, y: float, keys: list[str]) -> None:
    css, radius = kind(study, trial), 6.0 if trial is study.best else 4.0
    plot.point(x, y, css, hint(study, trial, keys), radius=radius, trial=trial.number)


def _inside(axis: Axis, value: float) -> float:
    return min(max(axis.at(value), 0.0), 1.0)


def ranges(study: Study) -> Section:
    title, names = "Is the best value at the edge of its range?", study.names
    if study.best is None or not names:
        why = "No trial has finished, so there is no best value." if names else "No parameters were searched."
        return Section("ranges", title, paragraph(why))
    rows, at_edge = [], []
    drawn = {name for trial in study.trials for name in trial.params}
    for name, searched in study.ranges.items():
        if name not in drawn:
            continue
        where, sentence = edge(study, name)
        value = plain(study.best.params[name]) if name in study.best.params else None
        rows.append([name, searched.text, value, where, sentence])
        if sentence.endswith("widen the range there."):
            at_edge.append(names[name])
    table = Table("ranges", ["parameter", "range", "best value", "place in range", "edge?"], rows)
    text = f"Yes for {', '.join(at_edge)}." if at_edge else "No."
    brief = Table(table.name, table.header, [[names[str(name)], *rest] for name, *rest in rows])
    html = paragraph(text) + brief.html()
    if never := [names[name] for name in study.ranges if name not in drawn]:
        html += note(f"No trial drew {', '.join(never)}.")
    return Section("ranges", title, html, [table])


def _percent(value: float) -> str:
    return show("fraction", value)
