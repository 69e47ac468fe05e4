"""Build what stands folded at the end: facts, the search space, how to run it again; and what belongs to the study."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from analysis.page.document import Section
from analysis.page.html import commands, esc, folded, link, note, paragraph
from analysis.page.tables import Table
from analysis.page.words import clock, plain
from analysis.stores.files import inner
from analysis.stores.links import Related
from analysis.stores.study import Study
from analysis.study_page.top import command_of, near
from mer.terminal.commands import command, quoted

_PAGES = {"export": ("README.md",), "evaluation": ("report.html", "results.md"), "study": ("report.html",)}


def related(found: Sequence[Related], page: Path) -> Section | None:
    """Link to the folders that belong to a page, relative to it, so that all may be moved together."""
    if not found:
        return None
    items = []
    for one in found:
        target = next((one.folder / name for name in _PAGES[one.kind] if (one.folder / name).is_file()), one.folder)
        address = os.path.relpath(target.resolve(), page.resolve().parent)
        items.append(f"<li>{esc(one.kind)}: {link(address, near(one.folder))} ({esc(one.words)})</li>")
    return Section("related", "What belongs to it", f"<ul>{''.join(items)}</ul>")


def facts(study: Study) -> Section:
    table = Table("study", ["fact", "value"], _facts(study))
    rows = [[name, searched.text, searched.condition or None] for name, searched in study.ranges.items()]
    space = Table("search_space", ["parameter", "range", "only when"], rows)
    fixed = Table(
        "fixed", ["fixed", "value"], [[key, plain(value)] for key, value in inner(study.identity, "fixed").items()]
    )
    packages = Table(
        "packages", ["package", "version"], [[k, v] for k, v in inner(study.environment(), "packages").items()]
    )
    html = folded("The study", table.html())
    html += folded(
        "What was searched",
        space.html() if rows else paragraph("No parameters: every trial has the fixed configuration."),
    )
    html += folded("What was fixed", fixed.html()) if fixed.rows else ""
    html += folded("Reproduce", _reproduce(study) + (packages.html() if packages.rows else ""))
    return Section("facts", "Facts", html, [table, space, fixed, packages])


def _facts(study: Study) -> list[list[object]]:
    environment, config, identity = study.environment(), study.config(), study.identity
    sampler, scheduler = identity["sampler"], identity["scheduler"]
    data, encoders = inner(config, "data"), inner(config, "encoders")
    backbones = [f"{m}: {e.get('backbone')} ({e.get('mode')})" for m, e in encoders.items() if isinstance(e, dict)]
    began = [trial.began for trial in study.trials if trial.began]
    ended = [trial.ended for trial in study.trials if trial.ended]
    seconds = study.summary.get("seconds") or study.mlflow.seconds
    span = clock((max(ended) - min(began)).total_seconds()) if began and ended else ""
    time = f"{clock(seconds)} (last run of the command)" if isinstance(seconds, int | float) else "not known"
    dirty = " with uncommitted changes (code.diff)" if environment.get("git_dirty") else ""
    sha = environment.get("git_sha") or study.mlflow.tags.get("mer.git_sha", "")
    searched = sorted({plain(t.params[k]) for t in study.trials for k in t.params if k.endswith(".backbone")})
    stopper = str(scheduler["kind"])
    stopper += (
        f", from epoch {scheduler['grace_epochs']}" if scheduler.get("grace_epochs") and stopper != "none" else ""
    )
    rows: list[list[object]] = [
        ["description", study.space.get("description", "")],
        ["objective", ", ".join(f"{metric} ({mode})" for metric, mode in study.objectives)],
        ["data", " ".join(str(data[key]) for key in ("dataset", "label", "root") if data.get(key))],
        ["backbone", ", ".join(searched or backbones)],
        ["trainable, epochs", f"{identity['trainable']}, up to {identity['epochs']} epochs"],
        ["sampler", sampler["kind"]],
        ["early stopping", stopper],
        ["seeds", f"sampler {sampler['seed']}, training {config.get('seed', 'not known')}"],
        ["wall time", time + (f"; first trial to last ending: {span}" if span else "")],
        ["first trial", f"{min(began):%Y-%m-%d %H:%M} UTC" if began else ""],
        ["code", f"{sha}{dirty}"],
        ["folder", str(study.folder)],
        ["MLflow", study.mlflow.note],
    ]
    return [row for row in rows if row[1]]


def _reproduce(study: Study) -> str:
    environment, begun = study.environment(), command_of(study)
    sha = environment.get("git_sha")
    lines = [f"git checkout {sha}"] if sha else []
    if environment.get("git_dirty"):
        lines += ["# the code had uncommitted changes", f"git apply {quoted(Path(near(study.folder)) / 'code.diff')}"]
    if begun:
        lines += ["# the whole study; add --resume to go on with it", begun]
    lines.append(command("analysis.report", Path(near(study.folder))))
    return commands(lines) + note(f"Python {environment.get('python', 'not known')}")
