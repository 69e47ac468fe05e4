"""Show the scores of an evaluation: every seed, mean and intervals, what it was compared with."""

from __future__ import annotations

from typing import Any

from analysis.page.document import Section
from analysis.page.html import commands, headline, note, say, tiles
from analysis.page.tables import Table
from analysis.page.words import counted, show, words
from analysis.plots.interval import Estimate, intervals_svg
from analysis.plots.picture import WIDE, both, stand_alone
from analysis.stores.evaluation import Evaluation
from analysis.stores.files import whole

_ALSO = ("ece", "mae", "rmse")
_LONGEST = 90  # characters of a method in the sentence


def first_screen(one: Evaluation, chance: float | None) -> Section:
    """Say the result in one sentence, then draw it."""
    html = headline(sentence(one, chance))
    if one.split == "dev":
        html += say(str(one.told.get("note", "dev scores")), "warn")
    main = one.summary(one.main)
    items = [(mean_and_sd(one, metric), f"{words(metric)}, mean ± sd") for metric in one.shown if one.summary(metric)]
    html += tiles([*items, (str(len(one.seeds)), f"{one.repeated}s")])
    html += both(lambda width: _picture(one, width))
    html += note(key_words(one) + (f" {main['note']}." if main.get("note") else ""))
    html += "".join(say(text) for text in one.comparisons)
    if one.told.get("command"):
        html += "<h3>Made by</h3>" + commands([str(one.told["command"])])
    return Section("top", one.name, html)


def scores_picture(one: Evaluation) -> str:
    """Draw the scores as a file of its own."""
    return stand_alone(_picture(one, WIDE))


def _picture(one: Evaluation, width: int) -> str:
    rows = [estimate(one, metric, words(metric)) for metric in one.shown if one.values(metric)]
    if one.kind == "regression":
        return intervals_svg(rows, f"{one.split} scores", width, percent=False)
    return intervals_svg(rows, f"{one.split} scores in percent", width, unit="%")


def sentence(one: Evaluation, chance: float | None) -> str:
    values = one.values(one.main)
    mean = sum(values.values()) / len(values)
    interval = one.summary(one.main).get("t_interval")
    unit = "" if one.kind == "regression" else " %"
    method = one.method
    if len(method) > _LONGEST:  # an ensemble names all its members; the facts at the end tell them whole
        method = f"{one.name} ({method.partition(':')[0]})" if ": " in method else one.name
    said = f"{method} reaches {show(one.main, mean)}{unit} {words(one.main)} on {one.split}"
    said += f", the mean of {counted(len(values), one.repeated)}"
    if interval:
        said += f" (95 % over seeds: {show(one.main, interval[0])} to {show(one.main, interval[1])})"
    if chance is not None:
        said += f": {100 * (mean - chance):+.1f} points against guessing"
    return said + "."


def key_words(one: Evaluation) -> str:
    return (
        "Diamond: the mean. Dots: seeds. Band: 95 % over seeds (another training run). Line with ends: 95 % over "
        f"{one.unit}s (other {one.unit}s of this kind)."
    )


def estimate(one: Evaluation, metric: str, name: str, css: str = "s1") -> Estimate:
    """Build the row of one metric: seeds, their mean, intervals over seeds and over units."""
    values = one.values(metric)
    told = one.summary(metric)
    dots = [(value, f"seed {seed}: {show(metric, value)}") for seed, value in values.items()]
    mean = sum(values.values()) / len(values) if values else None
    return Estimate(name, mean, dots, told.get("t_interval"), told.get("bootstrap_interval"), css)


def mean_and_sd(one: Evaluation, metric: str) -> str:
    told = one.summary(metric)
    if not told:
        return "-"
    return show(metric, told["mean"]) + (f" ± {show(metric, told['sd'])}" if told["sd"] is not None else "")


def seeds_section(one: Evaluation) -> Section:
    """List every seed."""
    metrics = [metric for metric in (*one.shown, *_ALSO) if one.values(metric)]
    columns = {metric: one.values(metric) for metric in metrics}
    rows = [
        [row["seed"], whole(row.get("epoch")), *(columns[metric].get(row["seed"]) for metric in metrics)]
        for row in one.told["seeds"]
    ]
    formats = {words(metric): (lambda value, metric=metric: show(metric, value)) for metric in metrics}
    table = Table("seeds", ["seed", "epoch", *map(words, metrics)], rows, formats)
    html = table.html() + summary_table(one).html(css="tight")
    return Section("seeds", "Seeds", html, [table, summary_table(one)])


def summary_table(one: Evaluation) -> Table:
    """Build the table of means and intervals."""
    rows: list[list[Any]] = []
    for metric in (*one.shown, *_ALSO):
        told = one.summary(metric)
        if told:
            rows.append(
                [
                    words(metric),
                    mean_and_sd(one, metric),
                    told.get("n"),
                    *(_words(metric, told.get(f"{kind}_interval")) for kind in ("t", "bootstrap")),
                ]
            )
    return Table(
        "summary", ["metric", "mean ± sd", "n", "95 % over seeds (t)", f"95 % over {one.unit}s (bootstrap)"], rows
    )


def _words(metric: str, ends: tuple[float, float] | None) -> str | None:
    return f"{show(metric, ends[0])} to {show(metric, ends[1])}" if ends else None
