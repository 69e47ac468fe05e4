"""Show how sure the seeds are against how often they are right, and what the temperature that dev chose makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from analysis.evaluation_page.classes import alike
from analysis.page.document import Section
from analysis.page.html import note, paragraph, plots
from analysis.page.tables import Table
from analysis.page.words import counted, show, words
from analysis.plots.picture import figure, swatches
from analysis.stores.evaluation import Evaluation
from analysis.stores.files import inner, number, whole
from analysis.stores.predictions import Predictions
from analysis.study_page.classes import reliability

_BEFORE, _AFTER = "before", "test"  # in the results: without the temperature, and at it
_COLDEST, _HOTTEST = 1e-3, 1e3  # beyond them a temperature is garbage


def calibration(one: Evaluation) -> Section | None:
    """Draw all seeds together; with a temperature, both; None where there are neither predictions nor temperatures."""
    found = alike(one) if one.kind == "class" else []
    table = _temperatures(one)
    if not found and table is None:
        return None
    html, tables = "", [table] if table else []
    if found:
        errors = list(one.values("ece").values())
        mean = f" Mean expected calibration error: {show('ece', float(np.mean(errors)))} %." if errors else ""
        html += paragraph(
            f"The utterances of {counted(len(found), 'seed')} on {one.split}, taken together. On the dashed line they "
            f"would be answered right as often as surely.{mean}"
        )
        html += _picture(one, found)
    if table is not None:
        said = one.temperature_words
        html += paragraph(f"{said[:1].upper()}{said[1:]}.") if said else ""
        html += table.html(css="tight")
        html += note(
            "A temperature is fitted to each seed's own dev predictions and divides its class scores on test: no "
            "answer changes, only how sure it is."
        )
    return Section("calibration", "Calibration", html, tables)


def _picture(one: Evaluation, found: Sequence[Predictions]) -> str:
    """Draw the reliability of all seeds, and beside it that at their temperatures."""
    here = plots(figure(reliability(_together(found))))
    values = {whole(row.get("seed")): number(row.get("temperature")) for row in _rows(one)}
    kept = {seed: value for seed, value in values.items() if value is not None and _COLDEST < value < _HOTTEST}
    same = {id(other) for other in found}
    cooled = [other.cooled(kept[seed]) for seed, other in one.predictions.items() if seed in kept and id(other) in same]
    if len(cooled) != len(found):
        return here
    key = swatches([("s1", "as they are"), ("s3", "at the temperature of each seed")])
    return key + plots(figure(reliability(_together(found), _together(cooled))))


def _together(found: Sequence[Predictions]) -> Predictions:
    """Set the utterances of all seeds one behind the other."""
    true, predicted, scores = (
        np.concatenate([getattr(other, name) for other in found]) for name in ("true_N", "predicted_N", "scores_NC")
    )
    ids = [name for other in found for name in other.ids]
    return Predictions(ids, found[0].class_names, true, predicted, scores)


def _rows(one: Evaluation) -> list[dict[str, Any]]:
    told = inner(one.told, "at_temperature").get("seeds")
    return [row for row in told if isinstance(row, dict)] if isinstance(told, list) else []


def _temperatures(one: Evaluation) -> Table | None:
    """List the temperature of every seed, and what test has without it and at it; None for an export without one."""
    told = _rows(one)
    metrics = [name for name in ("ece", "loss") if any(_value(row, _AFTER, one, name) is not None for row in told)]
    if not metrics:
        return None
    header = ["seed", "temperature"]
    formats: dict[str, Callable[..., str]] = {"temperature": lambda value: f"{value:.3f}"}
    for name in metrics:
        known = {"loss": "NLL, nats"}.get(name, f"{words(name)}, %")
        for heading in (f"{known}, as it is", f"{known}, at it"):
            header.append(heading)
            formats[heading] = lambda value, name=name: show(f"{one.split}_{name}", value)
    rows: list[list[Any]] = [
        [str(row.get("seed", "?")), number(row.get("temperature")),
         *(_value(row, when, one, name) for name in metrics for when in (_BEFORE, _AFTER))]
        for row in told
    ]  # fmt: skip
    columns = [[row[place] for row in rows if row[place] is not None] for place in range(2, len(header))]
    means = [float(np.mean(column)) if column else None for column in columns]
    return Table("temperatures", header, [*rows, ["mean", None, *means]], formats)


def _value(row: dict[str, Any], when: str, one: Evaluation, metric: str) -> float | None:
    return number(inner(row, when).get(f"{one.split}_{metric}"))
