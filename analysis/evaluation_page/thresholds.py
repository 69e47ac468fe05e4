"""Show what test gives at the decision thresholds that dev chose for each seed."""

from __future__ import annotations

from typing import Any

from analysis.page.document import Section
from analysis.page.html import note, paragraph
from analysis.page.tables import Table
from analysis.page.words import show, words
from analysis.stores.evaluation import Evaluation
from analysis.stores.files import inner, number

_METRICS = {
    "class": ("weighted_f1", "macro_f1", "accuracy", "unweighted_accuracy"),
    "multilabel": ("macro_f1", "micro_f1", "samples_f1", "jaccard"),
}


def thresholds(one: Evaluation) -> Section | None:
    """List every seed's thresholds and its scores there, beside those without; None where dev chose none."""
    told = inner(one.told, "at_threshold")
    listed = told.get("seeds")
    found = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    metrics = [
        metric for metric in _METRICS.get(one.kind, ()) if any(_value(row, one, metric) is not None for row in found)
    ]
    if not metrics:
        return None
    header = ["seed", "threshold", *map(words, metrics)]
    rows: list[list[Any]] = [
        [str(row.get("seed", "?")), _place(row), *(_value(row, one, metric) for metric in metrics)] for row in found
    ]
    without = [_mean(list(one.values(metric).values())) for metric in metrics]
    there = [_mean([value for row in rows if (value := row[place]) is not None]) for place in range(2, len(header))]
    rows += [["mean, at them", None, *there], ["mean, at 0.5", None, *without]]
    formats = {words(metric): (lambda value, metric=metric: show(metric, value)) for metric in metrics}
    table = Table("thresholds", header, rows, formats)
    said = str(told.get("metric") or "")
    chosen = f" by {words(said)}" if said and one.kind == "class" else " by the F1 of each label"
    html = paragraph(f"Dev chose a threshold for each seed{chosen}; {one.split} is scored at it.") + table.html()
    html += note(
        "The scores above are those of the more probable class." if one.kind == "class"
        else "The scores above are those of labels whose probability is above one half."
    )  # fmt: skip
    return Section("thresholds", "At the thresholds that dev chose", html, [table])


def _place(row: dict[str, Any]) -> str | None:
    """Word a seed's threshold; of several labels each one's."""
    above = row.get("above")
    if isinstance(above, dict):
        told = {str(name): number(value) for name, value in above.items()}
        return ", ".join(f"{name} {value:.2f}" for name, value in told.items() if value is not None) or None
    value = number(row.get("at_least"))
    return None if value is None else f"{value:.3f}"


def _value(row: dict[str, Any], one: Evaluation, metric: str) -> float | None:
    return number(inner(row, one.split).get(f"{one.split}_{metric}"))


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
