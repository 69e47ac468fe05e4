"""Show each fold's test part, and the spread over folds apart from that over seeds."""

from __future__ import annotations

from typing import Any

from analysis.evaluation_page.scores import METRICS
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
    rows = [
        [str(part.get("name", "?")), whole(part.get("train")), whole(part.get("test")), *_values(part)]
        for part in parts
    ]
    formats = {words(metric): (lambda value: show("f1", value)) for metric in METRICS}
    table = Table("folds", ["test part", "train rows", "test rows", *map(words, METRICS)], rows, formats)
    spreads = {metric: inner(told, "spread", f"test_{metric}") for metric in METRICS}
    lines: list[list[Any]] = [
        [name, *(_percent(number(spreads[metric].get(key))) for metric in METRICS)]
        for name, key in (("mean", "mean"), ("sd over folds", "sd_folds"), ("sd over seeds", "sd_seeds"))
    ]
    ends = [interval(spreads[metric].get("interval")) for metric in METRICS]
    bounds = [f"{show('f1', two[0])} to {show('f1', two[1])}" if two else "-" for two in ends]
    spread = Table("fold-spread", ["", *map(words, METRICS)], [*lines, ["95 % over folds", *bounds]])
    said = str(spreads[METRICS[0]].get("note") or "")
    html = table.html() + spread.html(css="tight") + (note(f"{said}.") if said else "")
    return Section("folds", f"Folds by {told.get('by', 'part')}", html, [table, spread])


def _values(part: dict[str, Any]) -> list[float | None]:
    means = inner(part, "mean")
    return [number(means.get(f"test_{metric}")) for metric in METRICS]


def _percent(value: float | None) -> str:
    return show("f1", value)
