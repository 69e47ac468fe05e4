"""Put the parts of a comparison into their order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.comparison_page.pairs import Verdict, evaluation_verdicts, study_verdicts
from analysis.evaluation_page.scores import estimate, key_words, mean_and_sd
from analysis.findings.chance import chance_on_dev, dev_noise
from analysis.findings.costs import costs
from analysis.page.document import Section, page
from analysis.page.html import headline, link, note, paragraph, say
from analysis.page.tables import Table
from analysis.page.words import clock, counted, is_fraction, show, words
from analysis.plots.interval import Estimate, intervals_svg
from analysis.plots.picture import both
from analysis.stores.evaluation import Evaluation
from analysis.stores.files import inner, number
from analysis.stores.study import Study
from analysis.study_page.result import endings


def comparison_sections(studies: Sequence[Study], evaluations: Sequence[Evaluation], target: Path) -> list[Section]:
    """Build every part. Args: target: where the page will lie; its links are relative to that."""
    of_studies = _told_apart([study.name for study in studies], [str(study.folder) for study in studies])
    of_results = _told_apart([one.name for one in evaluations], [one.path.parent.name for one in evaluations])
    sections = [_first(studies, of_studies, evaluations, of_results)]
    if studies:
        sections += [_on_dev(studies, of_studies), _cost(studies, of_studies)]
    if evaluations:
        sections.append(_on_test(evaluations, of_results))
    sections.append(_links(studies, evaluations, target))
    unreadable = [name for study in studies for name in study.unreadable]
    unreadable += [name for one in evaluations for name in one.unreadable]
    if unreadable:
        first = sections[0]
        said = say(f"Made without {', '.join(unreadable)}: garbage.", "warn")
        sections[0] = Section(first.anchor, first.title, said + first.html, first.tables)
    return sections


def comparison_html(studies: Sequence[Study], evaluations: Sequence[Evaluation], sections: list[Section]) -> str:
    """Assemble the page."""
    counts = [counted(len(studies), "search") if len(studies) == 1 else f"{len(studies)} searches"] if studies else []
    counts += [counted(len(evaluations), "evaluation")] if evaluations else []
    return page("Comparison", " and ".join(counts), sections, "Made by python -m analysis.compare.")


def _told_apart(names: Sequence[str], longer: Sequence[str]) -> list[str]:
    """Name each by its short name, or by the longer one where two share the short one."""
    return [name if list(names).count(name) == 1 else long for name, long in zip(names, longer, strict=True)]


def _first(
    studies: Sequence[Study], of_studies: list[str], evaluations: Sequence[Evaluation], of_results: list[str]
) -> Section:
    """Say who is ahead, on test where there is test, and what of it is supported."""
    verdicts = evaluation_verdicts(evaluations, of_results)
    dev = study_verdicts(studies, of_studies)
    html = headline(_leader(studies, of_studies, evaluations, of_results))
    table, of_dev = _table(verdicts, "verdicts_test"), _table(dev, "verdicts_dev")
    clear = [one for one in dev if " is above " in one.says or "cannot" in one.says]
    html += "".join(say(one.says, "good" if " is above " in one.says else "") for one in [*verdicts, *clear][:12])
    if alike := [f"{one.first} and {one.second}" for one in dev if one not in clear]:
        html += say(
            f"On dev, no difference at this sample size: {'; '.join(alike[:12])}{'; ...' if alike[12:] else ''}."
        )
    if len(verdicts) + len(clear) > 12 or len(alike) > 12:
        html += note("All pairs are in the tables below.") + table.html(45) + of_dev.html(45)
    if not verdicts and not dev:
        html += paragraph("No two of them were scored on the same utterances by the same metric: nothing is paired.")
    if dev:
        html += note("On dev, each search is the best of its trials: their scores are hopeful. p is adjusted by Holm.")
    return Section("top", "Comparison", html, [table, of_dev])


def _leader(
    studies: Sequence[Study], of_studies: list[str], evaluations: Sequence[Evaluation], of_results: list[str]
) -> str:
    if len({(one.group, one.kind) for one in evaluations}) > 1:
        return "These evaluations are not of the same data and task: those that are, are compared below."
    if evaluations:
        means = [(sum(v.values()) / len(v), name, one.split) for one, name in zip(evaluations, of_results, strict=True)
                 if (v := one.values(evaluations[0].main))]  # fmt: skip
        mean, name, split = max(means)
        main, unit = evaluations[0].main, " %" if is_fraction(evaluations[0].main) else ""
        return f"{name} has the highest mean {words(main)} on {split}: {show(main, mean)}{unit}."
    scored = [(study, name) for study, name in zip(studies, of_studies, strict=True) if study.best]
    metrics = {study.metric for study, _ in scored}
    if len(metrics) != 1:
        return "The searches have different objectives." if metrics else "No search has a finished trial yet."
    sign = 1 if scored[0][0].larger_is_better else -1
    study, name = max(scored, key=lambda pair: sign * _best(pair[0]))
    value = show(study.metric, _best(study))
    return f"{name} has the best {words(study.metric)} on dev: {value}{' %' if is_fraction(study.metric) else ''}."


def _best(study: Study) -> float:
    return (study.value(study.best) or 0.0) if study.best else 0.0


def _table(verdicts: Sequence[Verdict], name: str) -> Table:
    rows = [[v.first, v.second, v.difference, *(v.interval or (None, None)), v.p, v.says] for v in verdicts]
    header = ["first", "second", "difference", "low", "high", "p (Holm)", "verdict"]
    share = all(one.in_percent for one in verdicts)
    shown = (lambda value: f"{100 * value:+.2f}") if share else (lambda value: f"{value:+.4f}")
    return Table(name, header, rows, dict.fromkeys(header[2:5], shown))


def _on_dev(studies: Sequence[Study], names: list[str]) -> Section:
    rows: list[list[Any]] = []
    lines: dict[tuple[str, str], list[Estimate]] = {}
    for study, name in zip(studies, names, strict=True):
        value, chance, noise = study.value(study.best) if study.best else None, chance_on_dev(study), dev_noise(study)
        first, metric, best, data = study.trial(0), study.metric, study.best, _data(study)
        begun = first.best.get(metric) if first else None
        cells = [show(metric, value), show(metric, begun), show(metric, chance.value if chance else None)]
        number = best.number if best else None
        rows.append([name, data, words(metric), *cells, number, len(study.trials), endings(study)])
        if value is not None:
            around = (value - 1.96 * noise.error, value + 1.96 * noise.error) if noise else None
            hint = f"{name}: trial {number}, {show(metric, value)}"
            told = f"trial 0: {show(metric, begun)}"
            dots = [(begun, told)] if begun is not None and first is not best else []
            lines.setdefault((metric, data), []).append(Estimate(name, value, dots, None, around, hint=hint))
    table = Table(
        "searches",
        ["search", "data", "objective", "best", "trial 0", "guessing", "best trial", "trials", "endings"],
        rows,
    )
    html = "".join(
        both(lambda width, m=metric, d=data, r=found: _plot_on_dev(m, d, r, width))  # type: ignore[misc]
        for (metric, data), found in lines.items()
    )
    html += note("Diamond: the best trial. Line with ends: 95 % by chance on dev (binomial). Dot: trial 0.")
    return Section("dev", "On dev", html + table.html(css="tight"), [table])


def _plot_on_dev(metric: str, data: str, found: list[Estimate], width: int) -> str:
    unit = ", in percent" if is_fraction(metric) else ""
    title = f"{words(metric)} on dev{f' of {data}' if data else ''}{unit}"
    return intervals_svg(found, title, width, percent=is_fraction(metric))


def _data(study: Study) -> str:
    """Name what a study was searched on: dataset and label."""
    data = inner(study.config(), "data")
    return " ".join(str(data[key]) for key in ("dataset", "label") if data.get(key))


def _cost(studies: Sequence[Study], names: list[str]) -> Section:
    rows: list[list[Any]] = []
    for study, name in zip(studies, names, strict=True):
        if told := costs(study):
            per = told.trial_seconds / max(1, sum(study.counts[s] for s in told.seconds_by_state))
            rows.append([name, len(study.trials), told.span, told.trial_seconds, per, told.epochs, told.saved])
    header = ["search", "trials", "first to last", "all trials", "a trial", "epochs", "epochs saved"]
    formats = {**dict.fromkeys(header[2:5], clock), "epochs saved": lambda value: f"{100 * max(0.0, value):.0f} %"}
    table = Table("costs", header, rows, formats)
    html = table.html() if rows else paragraph("No trial has ended yet.")
    return Section("cost", "Cost", html, [table])


def _on_test(evaluations: Sequence[Evaluation], names: list[str]) -> Section:
    html, rows = "", []
    every = dict.fromkeys([*(metric for one in evaluations for metric in one.shown), "ece"])
    metrics = [metric for metric in every if any(one.values(metric) for one in evaluations)]
    cooled = [_cooled(one) for one in evaluations]
    for group in dict.fromkeys(one.group for one in evaluations):
        inside = [(one, name) for one, name in zip(evaluations, names, strict=True) if one.group == group]
        main = inside[0][0].main
        lines = [estimate(one, main, name) for one, name in inside if one.main == main]
        title = f"{words(main)} of {group[0]} {group[1]} on {group[2]}{', in percent' if is_fraction(main) else ''}"
        share = is_fraction(main)
        html += both(lambda width, r=lines, t=title, p=share: intervals_svg(r, t, width, percent=p))  # type: ignore[misc]
        html += note(key_words(inside[0][0]))
        for one, name in inside:
            cells = [mean_and_sd(one, metric) for metric in metrics]
            last = [_cooled(one)] if any(cooled) else []
            rows.append([name, " ".join(group), one.method, len(one.seeds), *cells, *last])
    header = ["evaluation", "data", "method", "seeds", *map(_heading, metrics)]
    header += ["ECE at the temperature of dev"] if any(cooled) else []
    table = Table("evaluations", header, rows, right=header[4:])
    return Section("test", "Over seeds", html + table.html(css="tight"), [table])


def _heading(metric: str) -> str:
    return "UA" if metric == "unweighted_accuracy" else words(metric)


def _cooled(one: Evaluation) -> str | None:
    """Word the mean ECE at the temperatures that dev chose; None for an export without one."""
    mean = number(inner(one.told, "at_temperature", "summary", "test", f"{one.split}_ece").get("mean"))
    return None if mean is None else show("ece", mean)


def _links(studies: Sequence[Study], evaluations: Sequence[Evaluation], target: Path) -> Section:
    items = []
    for folder in [*(study.folder for study in studies), *(one.path.parent for one in evaluations)]:
        page_of = folder / "report.html"
        goal = page_of if page_of.is_file() else folder
        items.append(f"<li>{link(os.path.relpath(goal.resolve(), target.resolve().parent), str(folder))}</li>")
    return Section("links", "Pages of each", f"<ul>{''.join(items)}</ul>")
