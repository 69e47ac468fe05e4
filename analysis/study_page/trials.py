"""Build the leaderboard, and the comparison of the best trial with trial 0 and guessing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from analysis.findings.chance import by_frequency
from analysis.findings.front import pareto_front
from analysis.page.document import Section
from analysis.page.html import note, paragraph, plots
from analysis.page.tables import Table
from analysis.page.words import gap, is_fraction, plain, show, words
from analysis.plots.axis import span
from analysis.plots.picture import NARROW, figure
from analysis.plots.plot import Plot
from analysis.stores.study import Study
from analysis.study_page.marks import drawn
from mer.study.show.words import BAR

_COMPARED = ("dev_weighted_f1", "dev_macro_f1", "dev_accuracy", "dev_unweighted_accuracy", "dev_loss", "dev_ece")
_OF_TARGETS = {  # metrics of the other tasks, those of the leaderboard first
    "regression": ("dev_ccc", "dev_pearson", "dev_mae", "dev_rmse", "dev_acc2_has0", "dev_acc2_non0", "dev_acc7"),
    "multilabel": ("dev_macro_f1", "dev_micro_f1", "dev_jaccard", "dev_samples_f1", "dev_accuracy", "dev_loss"),
}
_LESS = ("dev_loss", "dev_ece", "dev_mae", "dev_rmse")
_BARS = {
    "class": "majority: always the most frequent class of train; by frequency: each class as often as dev has it. "
    "Guessing is the better of the two.",
    "regression": "mean: always the mean of train.",
    "multilabel": "frequent: always the labels that most rows of train have.",
}
ROWS = 100


def comparison(study: Study) -> Section:
    """Set the best trial beside trial 0 and the two guesses, metric by metric."""
    title = "Best against trial 0 and guessing"
    if study.best is None:
        return Section("best", title, paragraph("No trial has finished, so there is no best one."))
    first, baseline, predictions = study.trial(0), study.baseline, study.predictions(study.best)
    bar = BAR.get(study.task, BAR["class"])
    columns = [f"best (trial {study.best.number})", "trial 0", bar, "by frequency", "best - trial 0"]
    rows: list[list[Any]] = []
    for metric in dict.fromkeys([*(m for m, _ in study.objectives), *_OF_TARGETS.get(study.task, _COMPARED)]):
        if metric not in study.best.best:
            continue
        ours, theirs = study.best.best[metric], first.best.get(metric) if first else None
        often = by_frequency(predictions, metric.removeprefix("dev_")) if predictions else None
        rows.append([metric, ours, theirs, baseline.get(metric), often, ours - theirs if theirs is not None else None])
    if all(row[4] is None for row in rows):  # of numbers and labels nobody answers by frequency
        columns.pop(3)
        rows = [[*row[:4], row[5]] for row in rows]
    table = Table("best", ["metric", *columns], rows)
    shown = [
        [
            words(metric) + (" (less is better)" if metric in _LESS else ""),
            *(show(metric, v) for v in values),
            gap(metric, rest),
        ]
        for metric, *values, rest in rows
    ]
    html = Table(table.name, table.header, shown, right=columns).html()
    html += note(_BARS.get(study.task, _BARS["class"]))
    if not baseline:
        html += note(f"The {bar} baseline is written when the study ends; it is not known yet.")
    if first and first is not study.best and first.state != "finished" and first.best:
        html += note(f"Trial 0 {first.state}: its row is the best epoch it reached.")
    if len(study.objectives) > 1:
        html += plots(figure(_front(study)))
    return Section("best", title, html, [table])


def _front(study: Study) -> str:
    """Draw two objectives against each other; trials that no other beats on both are filled green."""
    on_front = {trial.number for trial in pareto_front(study)}
    (mx, _), (my, _) = study.objectives[:2]
    x = span([t.best[mx] for t in study.finished], label=f"{words(mx)} on dev", percent=is_fraction(mx))
    y = span([t.best[my] for t in study.finished], label=f"{words(my)} on dev", percent=is_fraction(my))
    plot = Plot(x, y, "objectives against each other", width=NARROW, height=300)
    for trial in study.finished:
        hint = f"trial {trial.number}\n{words(mx)} {show(mx, trial.best[mx])}\n{words(my)} {show(my, trial.best[my])}"
        css = "best" if trial.number in on_front else "done"
        plot.point(trial.best[mx], trial.best[my], css, hint, trial=trial.number)
    return plot.svg()


def leaderboard(study: Study) -> Section:
    if not study.trials:
        return Section("leaderboard", "Leaderboard", paragraph("No trials yet."))
    usual = list(_OF_TARGETS.get(study.task, ("dev_weighted_f1", "dev_macro_f1", "dev_accuracy"))[:3])
    metrics = list(dict.fromkeys([*(metric for metric, _ in study.objectives), *usual]))
    always = [key for key, searched in study.ranges.items() if not searched.when]
    sometimes = [key for key, searched in study.ranges.items() if searched.when]
    order = ["stopped early", "interrupted", "failed", "waiting"]
    rest = [t for state in order for t in study.by_value([t for t in study.trials if t.state == state])]
    trials, names = [*study.finished, *rest], study.names
    shown, whole, marks = [], [], []
    for place, trial in enumerate(trials, 1):
        ranked = place if trial.state == "finished" else None
        scores: list[Any] = [study.value(trial), *(trial.best.get(metric) for metric in metrics[1:])]
        epoch = int(trial.best["epoch"]) if "epoch" in trial.best else None
        begin = [ranked, trial.number, trial.state, *scores, epoch, trial.epochs or None]
        merged = "  ".join(f"{names[key]}={plain(trial.params[key])}" for key in sometimes if key in trial.params)
        values = {key: drawn(trial, key) for key in study.ranges}
        shown.append([*begin, *(values[key] for key in always), *([merged or None] if sometimes else [])])
        whole.append([*begin, *values.values()])
        marks.append(
            "best" if trial is study.best else {"stopped early": "cut", "failed": "failed"}.get(trial.state, "")
        )
    head = ["rank", "trial", "ending", *map(words, metrics), "best epoch", "epochs"]
    formats: dict[str, Callable[..., str]] = {
        words(name): (lambda value, name=name: show(name, value)) for name in metrics
    }
    columns = [*head, *(names[key] for key in always), *(["only sometimes"] if sometimes else [])]
    page = Table("leaderboard", columns, shown, formats, marks, frozen=2)
    html = paragraph(
        "Scores on dev at each trial's best epoch. Only finished trials are ranked: one that was stopped early had "
        "fewer epochs, its number (grey) says how far it came, not what it could have become."
    )
    file = Table("leaderboard", [*head, *(names[key] for key in study.ranges)], whole, formats)
    return Section("leaderboard", "Leaderboard", html + page.html(ROWS, css="tight tall"), [file])
