"""Show each fold's test part, and the spread over folds apart from that over seeds."""

from __future__ import annotations

from typing import Any

from analysis.page.document import Section
from analysis.page.html import note
from analysis.page.tables import Table
from analysis.page.words import show, words
from analysis.stores.evaluation import Evaluation, interval
from analysis.stores.files import inner, number, whole


def folds_section(one: Evaluation) -> Section | None:
    """List the folds, each the mean of the seeds; None for an evaluation without folds."""
    told = inner(one.told, "folds")
    listed = told.get("parts")
    parts = [part for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []
    if not parts:
        return None
    metrics = [metric for metric in one.shown if inner(told, "spread", f"test_{metric}")] or list(one.shown[:1])
    rows = [
        [str(part.get("name", "?")), whole(part.get("train")), whole(part.get("test")), *_values(part, metrics)]
        for part in parts
    ]
    formats = {words(metric): (lambda value, metric=metric: show(metric, value)) for metric in metrics}
    table = Table("folds", ["test part", "train rows", "test rows", *map(words, metrics)], rows, formats)
    spreads = {metric: inner(told, "spread", f"test_{metric}") for metric in metrics}
    lines: list[list[Any]] = [
        [name, *(show(metric, number(spreads[metric].get(key))) for metric in metrics)]
        for name, key in (("mean", "mean"), ("sd over folds", "sd_folds"), ("sd over seeds", "sd_seeds"))
    ]
    ends = [(metric, interval(spreads[metric].get("interval"))) for metric in metrics]
    bounds = [f"{show(metric, two[0])} to {show(metric, two[1])}" if two else "-" for metric, two in ends]
    spread = Table("fold-spread", ["", *map(words, metrics)], [*lines, ["95 % over folds", *bounds]])
    said = str(spreads[metrics[0]].get("note") or "")
    html = table.html() + spread.html(css="tight") + (note(f"{said}.") if said else "")
    return Section("folds", f"Folds by {told.get('by', 'part')}", html, [table, spread])


def _values(part: dict[str, Any], metrics: list[str]) -> list[float | None]:
    means = inner(part, "mean")
    return [number(means.get(f"test_{metric}")) for metric in metrics]
