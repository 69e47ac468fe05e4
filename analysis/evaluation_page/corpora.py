"""Show what the seeds score on other corpora: the files that `mer.evaluate --on` leaves beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.page.document import Section
from analysis.page.html import note, paragraph
from analysis.page.tables import Table
from analysis.page.words import show, words
from analysis.plots.interval import Estimate, intervals_svg
from analysis.plots.picture import both
from analysis.stores.evaluation import interval
from analysis.stores.files import inner, number, read_json, whole

_FILES = "on-*.json"
_METRICS = ("weighted_f1", "accuracy", "macro_f1", "unweighted_accuracy")
_MOST = 50  # files


def other_corpora(folder: Path) -> Section | None:
    """List the corpora on which the seeds in a folder were scored; None where there are none."""
    read = [read_json(path) for path in sorted(folder.glob(_FILES))[:_MOST]]
    told = [one for one in read if number(inner(one, "summary", "weighted_f1").get("mean")) is not None]
    if not told:
        return None
    lines = [_estimate(one) for one in told]
    metrics = [metric for metric in _METRICS if any(inner(one, "summary", metric) for one in told)]
    headings = [words(metric).partition(" (")[0] for metric in metrics]
    rows = [[_name(one), _scored(one), *(_spread(one, name) for name in metrics), _majority(one)] for one in told]
    header = ["corpus", "rows scored", *headings, "weighted-F1 of always one class"]
    table = Table("other_corpora", header, rows, right=header[1:])
    trained = str(told[0].get("trained_on") or "the data of the search")
    html = paragraph(f"Trained on {trained}, scored elsewhere: the model chooses among the classes that both have.")
    title = "weighted-F1 on other corpora, in percent"
    html += both(lambda width: intervals_svg(lines, title, width, unit="%"))
    html += note("Diamond: the mean. Dots: seeds. Band: 95 % over seeds. Line with ends: 95 % over its units.")
    return Section("corpora", "On other corpora", html + table.html(css="tight"), [table])


def _name(one: dict[str, Any]) -> str:
    return f"{one.get('on', '?')} ({one.get('split', '?')})"


def _scored(one: dict[str, Any]) -> str | None:
    scored, of = (whole(inner(one, "rows").get(key)) for key in ("scored", "of"))
    return None if scored is None or of is None else f"{scored} of {of}"


def _spread(one: dict[str, Any], metric: str) -> str | None:
    told = inner(one, "summary", metric)
    mean, sd = number(told.get("mean")), number(told.get("sd"))
    return None if mean is None else show(metric, mean) + (f" ± {show(metric, sd)}" if sd is not None else "")


def _majority(one: dict[str, Any]) -> str | None:
    value = number(inner(one, "majority").get("weighted_f1"))
    return None if value is None else show("weighted_f1", value)


def _estimate(one: dict[str, Any]) -> Estimate:
    told, seeds, by_seed = inner(one, "summary", "weighted_f1"), one.get("seeds"), one.get("by_seed")
    dots: list[tuple[float, str]] = []
    if isinstance(seeds, list) and isinstance(by_seed, list) and len(seeds) == len(by_seed):
        for seed, row in zip(seeds, by_seed, strict=True):
            if (value := number(inner(row).get("weighted_f1"))) is not None:
                dots.append((value, f"seed {seed}: {show('weighted_f1', value)}"))
    seeds_ends, units_ends = (interval(told.get(f"{kind}_interval")) for kind in ("t", "bootstrap"))
    return Estimate(_name(one), number(told.get("mean")), dots, seeds_ends, units_ends)
