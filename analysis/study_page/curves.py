"""Draw the learning curves of the best trials."""

from __future__ import annotations

from analysis.page.document import Section
from analysis.page.html import paragraph, plots
from analysis.page.tables import Table
from analysis.page.words import counted, is_fraction, show, words
from analysis.plots.axis import Axis, span
from analysis.plots.picture import USUAL, figure, swatches
from analysis.plots.plot import Plot
from analysis.stores.study import Study, Trial

_SHOWN = 5  # trials
Rows = list[dict[str, float]]


def curves(study: Study) -> Section:
    """Draw the objective, the dev loss and the train loss over epochs; trials whose history is garbage are left out."""
    title = "Learning curves"
    trials = study.finished or study.by_value([trial for trial in study.trials if trial.epochs])
    found: list[tuple[Trial, Rows]] = []
    for trial in trials[: 3 * _SHOWN]:
        if len(found) < _SHOWN and (rows := study.history(trial)):
            found.append((trial, rows))
    if not found:
        return Section("curves", title, paragraph("No trial has left the history of its epochs."))
    panels = list(dict.fromkeys([study.metric, "dev_loss", "train_loss"]))
    pictures = [picture for metric in panels if (picture := _panel(study, metric, found))]
    which = "best finished trial" if study.finished else "best trial so far"
    items = [(f"s{i + 1}", f"trial {t.number}{' (best)' if t is study.best else ''}") for i, (t, _) in enumerate(found)]
    html = paragraph(f"The {counted(len(found), which).removeprefix('1 ')}.") + swatches(
        items, "dot: the epoch that is kept"
    )
    table = Table(
        "learning_curves",
        ["trial", "epoch", *panels],
        [[trial.number, row["epoch"], *(row.get(key) for key in panels)] for trial, rows in found for row in rows],
    )
    return Section("curves", title, html + plots(*pictures), [table])


def _panel(study: Study, metric: str, found: list[tuple[Trial, Rows]]) -> str:
    """Draw one metric of these trials; "" when none has it."""
    lines = [[(row["epoch"], row[metric]) for row in rows if metric in row] for _, rows in found]
    values = [value for line in lines for _, value in line if value == value and abs(value) < 1e12]
    if not values:
        return ""
    last = max(row["epoch"] for _, rows in found for row in rows)
    split = "" if metric == "train_loss" else " on dev"
    title = f"{words(metric)}{split}" + (", %" if is_fraction(metric) else ", nats")
    y = span(values, label="", percent=is_fraction(metric))
    plot = Plot(Axis(0.5, max(last, 2) + 0.5, label="epoch", whole=True), y, title, width=USUAL, height=270)
    for index, line in enumerate(lines):
        plot.line([(epoch, value) for epoch, value in line if value == value], f"s{index + 1}")
    for index, ((trial, _), line) in enumerate(zip(found, lines, strict=True)):
        at = dict(line).get(trial.best.get("epoch", -1.0))
        if at is not None:
            hint = f"trial {trial.number}, epoch {trial.best['epoch']:.0f}\n{words(metric)} {show(metric, at)}"
            plot.point(trial.best["epoch"], at, f"dot s{index + 1}", hint, trial=trial.number)
    return figure(plot.svg())
