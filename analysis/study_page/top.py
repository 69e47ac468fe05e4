"""Build the first screen: the result in one sentence, the history, the best setting, the next command."""

from __future__ import annotations

import re
from pathlib import Path

from analysis.page.document import Section
from analysis.page.html import commands, folded, headline, paragraph, say, tiles
from analysis.page.tables import Table
from analysis.page.words import show, words
from analysis.stores.study import Study
from analysis.study_page.history import history_html
from analysis.study_page.marks import drawn
from analysis.study_page.result import Measured, caution, endings, result, state
from mer.terminal.commands import command


def top(study: Study, measured: Measured) -> Section:
    html = headline(result(study, measured))
    if told := state(study):
        html += say(*told)
    html += tiles(_tiles(study, measured)) + history_html(study, measured.noise)
    setting = _setting(study)
    html += '<div class="side">'
    if setting.rows:
        title = "Best setting" if study.best else "First setting"
        brief = Table(setting.name, setting.header, [[study.names[row[0]], *row[1:]] for row in setting.rows])
        html += f"<div><h3>{title}</h3>{brief.html()}</div>"
    html += f"<div><h3>Next</h3>{commands(next_commands(study))}</div></div>"
    if cautions := caution(study, measured):
        html += folded("What this result is worth", "".join(map(paragraph, cautions)))
    return Section("top", study.name, html, [setting])


def _tiles(study: Study, measured: Measured) -> list[tuple[str, str]]:
    best, first, metric = study.best, study.trial(0), study.metric
    label = f"best {words(metric)} on dev" + (f" (trial {best.number})" if best else "")
    items = [(show(metric, study.value(best)) if best else "-", label)]
    if first is not None and first is not best and metric in first.best:
        items.append(
            (show(metric, first.best[metric]), f"trial 0{'' if first.state == 'finished' else ', ' + first.state}")
        )
    if measured.chance:
        items.append((show(metric, measured.chance.value), "guessing"))
    return [*items, (str(len(study.trials)), f"trials: {endings(study)}")]


def _setting(study: Study) -> Table:
    """List what was drawn for the best trial, beside trial 0."""
    best, first = study.best or study.trial(0), study.trial(0)
    if best is None:
        return Table("best_setting", ["parameter", "value"], [])
    beside = first if first is not best else None
    header = ["parameter", f"trial {best.number}", *([f"trial {beside.number}"] if beside else []), "searched"]
    rows = []
    for key, searched in study.ranges.items():
        if key not in best.params and not (beside and key in beside.params):
            continue
        rows.append([key, *(drawn(trial, key) for trial in (best, beside) if trial), searched.text])
    return Table("best_setting", header, rows)


def next_commands(study: Study) -> list[str]:
    """List what to type next."""
    folder = Path(near(study.folder))
    lines = []
    if study.counts["interrupted"] or study.counts["waiting"] or not study.best:
        begun = command_of(study)
        lines += [f"{begun} --resume" if begun else "# go on with it: the command that began it, with --resume"]
    if study.best:
        out = Path("exports") / study.name
        lines += [command("mer.export", folder, "--trial", study.best.number, "--out", out)]
        lines += [command("mer.evaluate", out, "--seeds", 0, 42, 43, 114, 3407)]
    return lines or [command("analysis.report", folder)]


def command_of(study: Study) -> str:
    """Return the command that began a study, to be typed again; "" where it was not kept."""
    said = str(study.environment().get("command", ""))
    again = re.sub(r"^\S*mer/(\w+)\.py\b", r"python -m mer.\1", said)
    return re.sub(r"\s--(fresh|resume)\b", "", again)


def near(folder: Path) -> str:
    """Return the path relative to the working directory where it lies below it, else the path as it is."""
    try:
        return str(folder.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(folder)
