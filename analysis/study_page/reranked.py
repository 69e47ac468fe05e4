"""Show the best trials of a study over several seeds, where `mer.evaluate --top-k-from` trained them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analysis.page.document import Section
from analysis.page.html import note, paragraph
from analysis.page.tables import Table
from analysis.page.words import counted, gap, is_fraction, show, words
from analysis.plots.interval import Estimate, intervals_svg
from analysis.plots.picture import both
from analysis.stores.files import BROKEN, number, read_json, read_text, whole
from mer.study.paths import SUMMARY

FILE = "rerank.json"


def reranked(folder: Path) -> Section | None:
    """Draw each trial's mean over seeds beside its score in the search; None where nothing was ranked again."""
    rows = _rows(folder / FILE)
    metric = _metric(folder)
    if not rows or not metric:
        return None
    best = rows[0]
    lines = [_estimate(row, metric) for row in rows]
    title = f"{words(metric)} on dev over seeds" + (", in percent" if is_fraction(metric) else "")
    header = ["trial", "mean over seeds", "sd", "seeds", "in the search", "mean - search"]
    cells = [
        [row["trial"], row["mean"], row["sd"], row["n"], row["searched"], row["mean"] - row["searched"]] for row in rows
    ]
    formats = {
        **dict.fromkeys(("mean over seeds", "sd", "in the search"), lambda value: show(metric, value)),
        "mean - search": lambda value: gap(metric, value),
    }
    table = Table("reranked", header, cells, formats)
    mean, before = (show(metric, best[key]) for key in ("mean", "searched"))
    trials, seeds = counted(len(rows), "trial"), counted(best["n"], "seed")
    html = paragraph(
        f"The best {trials} of the search, each trained again over {seeds}. By the mean trial {best['trial']} is the "
        f"best: {mean}, in the search {before}. A score in the search is the best of many, so most means lie below it."
    )
    html += both(lambda width: intervals_svg(lines, title, width, percent=is_fraction(metric)))
    html += note("Diamond: the mean over seeds. Band: one standard deviation each way. Dot: the score in the search.")
    return Section("reranked", "Best trials over seeds", html + table.html(), [table])


def _rows(path: Path) -> list[dict[str, Any]]:
    """Read the ranking, best first; rows that are no such thing are left out."""
    try:
        found = json.loads(read_text(path))
    except BROKEN:
        return []
    rows = []
    for one in found if isinstance(found, list) else []:
        told = one if isinstance(one, dict) else {}
        row = {
            **{key: whole(told.get(key)) for key in ("trial", "n")},
            **{key: number(told.get(key)) for key in ("searched", "mean")},
        }
        if None not in row.values():
            rows.append(row | {"sd": number(told.get("sd"))})
    return rows


def _metric(folder: Path) -> str:
    """Name the first objective, as the study's summary has it; "" where there is none."""
    aims = read_json(folder / SUMMARY).get("objective")
    first = aims[0] if isinstance(aims, list) and aims and isinstance(aims[0], dict) else {}
    return str(first.get("metric") or "")


def _estimate(row: dict[str, Any], metric: str) -> Estimate:
    around = (row["mean"] - row["sd"], row["mean"] + row["sd"]) if row["sd"] is not None else None
    dots = [(row["searched"], f"in the search: {show(metric, row['searched'])}")]
    return Estimate(f"trial {row['trial']}", row["mean"], dots, around)
