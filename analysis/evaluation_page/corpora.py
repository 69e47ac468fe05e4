"""Show what the seeds score on other corpora: the files that `mer.evaluate --on` leaves beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.page.document import Section
from analysis.page.html import note, paragraph
from analysis.page.tables import Table
from analysis.page.words import is_fraction, show, words
from analysis.plots.interval import Estimate, intervals_svg
from analysis.plots.picture import both
from analysis.stores.evaluation import interval
from analysis.stores.files import inner, number, read_json, whole
from mer.config.metrics import MAIN
from mer.study.show.words import BAR

_FILES = "on-*.json"
# By data.task: the metrics of the table, what a model is asked for, and the answer that reads nothing of a row.
_METRICS = {
    "class": ("weighted_f1", "accuracy", "macro_f1", "unweighted_accuracy"),
    "regression": ("ccc", "pearson", "mae", "acc2_non0", "acc2", "acc7", "acc5"),
    "multilabel": ("macro_f1", "micro_f1", "samples_f1", "jaccard"),
}
_ASKED = {
    "class": "the model chooses among the classes that both have",
    "regression": "of the numbers that both have",
    "multilabel": "of the labels that both have",
}
_ALWAYS = {"class": "one class", "regression": "the mean", "multilabel": "the usual labels"}
_MOST = 50  # files


def other_corpora(folder: Path) -> Section | None:
    """List the corpora on which the seeds in a folder were scored; None where there are none."""
    read = [one for path in sorted(folder.glob(_FILES))[:_MOST] if (one := read_json(path))]
    told = [one for one in read if number(inner(one, "summary", _main(one)).get("mean")) is not None]
    if not told:
        return None
    told = [one for one in told if _task(one) == _task(told[0])]  # one configuration, so one task
    task, main = _task(told[0]), _main(told[0])
    metrics = [metric for metric in _METRICS[task] if any(inner(one, "summary", metric) for one in told)]
    headings = [words(metric).partition(" (unw")[0] for metric in metrics]
    rows = [[_name(one), _scored(one), *(_spread(one, name) for name in metrics), _always(one)] for one in told]
    header = ["corpus", "rows scored", *headings, f"{words(main)} of always {_ALWAYS[task]}"]
    table = Table("other_corpora", header, rows, right=header[1:])
    trained = str(told[0].get("trained_on") or "the data of the search")
    html = paragraph(f"Trained on {trained}, scored elsewhere: {_ASKED[task]}.")
    percent = is_fraction(main)
    title = f"{words(main)} on other corpora{', in percent' if percent else ''}"
    lines, unit = [_estimate(one) for one in told], "%" if percent else words(main)
    html += both(lambda width: intervals_svg(lines, title, width, percent=percent, unit=unit))
    html += note("Diamond: the mean. Dots: seeds. Band: 95 % over seeds. Line with ends: 95 % over its units.")
    html += table.html(css="tight")
    for one in told:  # of a corpus with the same utterances, as one transcribed by a machine
        if verdict := inner(one, "same_utterances").get("verdict"):
            html += paragraph(f"{_name(one)}, the same utterances as its own: {verdict}")
    return Section("corpora", "On other corpora", html, [table])


def _task(one: dict[str, Any]) -> Any:
    return next((task for task in MAIN if task == one.get("kind")), "class")


def _main(one: dict[str, Any]) -> str:
    return MAIN[_task(one)]


def _name(one: dict[str, Any]) -> str:
    return f"{one.get('on', '?')} ({one.get('split', '?')})"


def _scored(one: dict[str, Any]) -> str | None:
    scored, of = (whole(inner(one, "rows").get(key)) for key in ("scored", "of"))
    return None if scored is None or of is None else f"{scored} of {of}"


def _spread(one: dict[str, Any], metric: str) -> str | None:
    told = inner(one, "summary", metric)
    mean, sd = number(told.get("mean")), number(told.get("sd"))
    return None if mean is None else show(metric, mean) + (f" ± {show(metric, sd)}" if sd is not None else "")


def _always(one: dict[str, Any]) -> str | None:
    value = number(inner(one, BAR[_task(one)]).get(_main(one)))
    return None if value is None else show(_main(one), value)


def _estimate(one: dict[str, Any]) -> Estimate:
    main, seeds, by_seed = _main(one), one.get("seeds"), one.get("by_seed")
    told = inner(one, "summary", main)
    dots: list[tuple[float, str]] = []
    if isinstance(seeds, list) and isinstance(by_seed, list) and len(seeds) == len(by_seed):
        for seed, row in zip(seeds, by_seed, strict=True):
            if (value := number(inner(row).get(main))) is not None:
                dots.append((value, f"seed {seed}: {show(main, value)}"))
    seeds_ends, units_ends = (interval(told.get(f"{kind}_interval")) for kind in ("t", "bootstrap"))
    return Estimate(_name(one), number(told.get("mean")), dots, seeds_ends, units_ends)
