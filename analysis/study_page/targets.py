"""Show predicted numbers against true ones, and how well each label is given, of a study's best trial on dev."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.page.document import Section
from analysis.page.html import note, paragraph, plots
from analysis.page.tables import Table
from analysis.page.words import counted, show
from analysis.plots.axis import span
from analysis.plots.picture import NARROW, figure
from analysis.plots.plot import Plot
from analysis.stores.study import Study
from analysis.stores.targets import TargetPredictions

_MOST = 1500  # marks


def targets(study: Study) -> Section | None:
    """Build the section that stands where classes have their confusion; None for a study of classes."""
    if study.task == "class":
        return None
    title = "Numbers" if study.task == "regression" else "Labels"
    if study.best is None:
        return Section("targets", title, paragraph("No trial has finished."))
    found = study.targets(study.best)
    if found is None:
        return Section(
            "targets", title, paragraph("The best trial's dev predictions cannot be read, or were not kept.")
        )
    lead = f"Trial {study.best.number} on dev, {counted(len(found.ids), 'utterance')}."
    html, table = scatters(found) if found.is_numbers else per_label(found)
    return Section("targets", title, paragraph(lead) + html, [table])


def scatters(found: TargetPredictions) -> tuple[str, Table]:
    """Draw each number: what is predicted over what is true; and the table of errors."""
    drawn, rows = "", []
    for place, name in enumerate(found.names):
        said = found.said_NT[:, place]
        truth, output = found.true_NT[said, place], found.output_NT[said, place]
        if not len(truth):
            continue
        drawn += figure(_scatter(name, found, np.flatnonzero(said), place))
        gap = output - truth
        spreads = (float(np.abs(gap).mean()), float(gap.mean()), float(truth.std()), float(output.std()))
        rows.append([name, *spreads, len(gap)])
    header = ["number", "mean absolute error", "mean error", "sd of the truth", "sd of the outputs", "rows"]
    table = Table("numbers", header, rows, dict.fromkeys(header[1:5], lambda value: f"{value:.3f}"))
    words = note(
        "On the dashed line output and truth are equal. Outputs that vary less than the truth lean to the middle."
    )
    return plots(drawn) + words + table.html(), table


def _scatter(name: str, found: TargetPredictions, rows: np.ndarray, place: int) -> str:
    truth, output = found.true_NT[rows, place], found.output_NT[rows, place]
    both = [*truth.tolist(), *output.tolist()]
    x, y = (span(both, label=label, percent=False) for label in (f"{name}, true", f"{name}, predicted"))
    plot = Plot(x, y, name, NARROW, 330)
    plot.line([(x.low, x.low), (x.high, x.high)], "s8 dash")
    step = -(-len(rows) // _MOST)
    for row in rows[::step].tolist():
        at, said = float(found.true_NT[row, place]), float(found.output_NT[row, place])
        plot.point(at, said, "dot s1", f"{found.ids[row]}\ntrue {at:.3f}\npredicted {said:.3f}", radius=3.0)
    return plot.svg()


def per_label(found: TargetPredictions) -> tuple[str, Table]:
    """Build the table of precision, recall and F1 by label, at one half."""
    header = ["label", "precision", "recall", "F1", "rows", "given"]
    rows: list[list[Any]] = [list(one) for one in found.of_labels()]
    formats = dict.fromkeys(header[1:4], lambda value: show("fraction", value))
    barred = [[*row[:4], row[3], *row[4:]] for row in rows]
    page = Table("labels", [*header[:4], " ", *header[4:]], barred, formats, lanes={" ": 1.0})
    words = note(
        "In percent, where a label is given above one half. An export gives each label above a threshold of its own, "
        "chosen on dev."
    )
    return page.html() + words, Table("labels", header, rows, formats)
