"""Draw every trial across all parameters and the objective."""

from __future__ import annotations

from analysis.page.document import Section
from analysis.page.html import note
from analysis.page.words import words
from analysis.plots.parallel import Strand, parallel_svg
from analysis.plots.picture import NARROW, WIDE, figure, scrolling
from analysis.stores.study import Study
from analysis.study_page.marks import aside, hint, parameter_axis, place, scored, thinned, value_axis, varied

_MOST = 120  # lines; more of them hide each other
_AXIS = 118  # pixels an axis needs


def parallel(study: Study) -> Section | None:
    """Build the plot; None where fewer than two parameters varied or fewer than three trials have a value."""
    keys, trials = varied(study), scored(study)
    if len(keys) < 2 or len(trials) < 3:
        return None
    names = study.names
    shown = thinned(study, trials, _MOST)
    ranked = study.by_value([trial for trial, _ in shown])
    quarter = {trial.number for trial in ranked[: max(1, len(ranked) // 4)]}
    axes = [
        (words(study.metric), value_axis(study)),
        *((names[key], parameter_axis(study.ranges[key])) for key in keys),
    ]
    strands = []
    for trial, value in sorted(shown, key=lambda pair: (pair[0].number in quarter, pair[0] is study.best)):
        values: list[float | None] = [value]
        for key in keys:
            spot = place(study.ranges[key], trial.params[key]) if key in trial.params else None
            is_choice = study.ranges[key].kind == "choice"
            values.append(spot + 0.6 * aside(trial) if spot is not None and is_choice else spot)
        css = "line s3" if trial is study.best else "thin s1" if trial.number in quarter else "thin faint s8"
        if trial.state == "stopped early":
            css += " dash"
        strands.append(Strand(values, css, hint(study, trial, keys), trial.number))
    title, needed = f"{len(shown)} trials across their parameters", _AXIS * len(axes) + 40
    draw = [parallel_svg(axes, strands, title, max(width, needed)) for width in (WIDE, NARROW)]
    if needed > WIDE:
        html = scrolling(draw[0])
    else:
        html = figure(draw[0], "on-wide") + f'<div class="on-narrow">{scrolling(draw[1])}</div>'
    html += note(
        "Green: the best. Blue: the best quarter. Dashed: stopped early. A line that passes below an axis: not drawn."
    )
    if len(shown) < len(trials):
        html += note(f"Of {len(trials)} trials {len(shown)} are drawn: the better half, and the others evenly thinned.")
    return Section("parallel", "Parallel coordinates", html)
