"""The report's later sections: parameters, classes, failures, how to run it again."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from html import escape
from pathlib import Path

from analysis import figures
from analysis.findings import edge, importance
from analysis.pages import Section, endings_key, note, paragraph, say
from analysis.plots import bars, matrix
from analysis.sections import ROWS, Part
from analysis.stores import Study, plain
from analysis.tables import Table, show
from mer.study.show.words import short_names


def _percent(value: float) -> str:
    return show("fraction", value)


def matters(study: Study) -> Part:
    title, shares = "Parameter importance", importance(study)
    if isinstance(shares, str):
        return Section("importance", title, paragraph(shares)), []
    table = Table("importance", ["parameter", "share"], [[k, v] for k, v in shares.items()], {"share": _percent})
    text = f"PED-ANOVA over {len(study.finished)} finished trials: what tells their top quarter from the rest."
    picture = figures.importances(shares, short_names(list(study.ranges)))
    html = paragraph(text) + picture + note("The order of neighbours is not settled by so few trials.")
    return Section("importance", title, html), [table]


def parameters(study: Study) -> Part:
    pictures = figures.by_parameter(study, short_names(list(study.ranges)))
    html = (
        f'{endings_key()}<div class="plots">{pictures}</div>'
        if pictures
        else paragraph("No trial has a value to show.")
    )
    return Section("parameters", "Value against each parameter", html), []


def ranges(study: Study) -> Part:
    title, names = "Is the best value at the edge of its range?", short_names(list(study.ranges))
    if study.best is None or not names:
        why = "No trial has finished, so there is no best value." if names else "No parameters were searched."
        return Section("ranges", title, paragraph(why)), []
    rows, at_edge = [], []
    for name, searched in study.ranges.items():
        where, sentence = edge(study, name)
        value = plain(study.best.params[name]) if name in study.best.params else None
        rows.append([name, searched.text, value, where, sentence])
        if sentence.startswith("At the"):
            at_edge.append(names[name])
    table = Table("ranges", ["parameter", "range", "best value", "place in range", "edge?"], rows)
    text = f"Yes for {', '.join(at_edge)}." if at_edge else "No."
    return Section("ranges", title, paragraph(text) + table.html()), [table]


def classes(study: Study) -> Part:
    title = "Confusion and per-class F1 of the best trial"
    if study.best is None:
        return Section("classes", title, paragraph("No trial has finished.")), []
    predictions = study.predictions(study.best)
    if predictions is None:
        return Section("classes", title, paragraph("The best trial's dev predictions are not in its folder.")), []
    counts, names, scores = predictions.confusion(), predictions.class_names, predictions.per_class()
    header = ["class", "precision", "recall", "F1", "support", "predicted"]
    rows = [[s.name, s.precision, s.recall, s.f1, s.support, s.predicted] for s in scores]
    table = Table("per_class", header, rows, dict.fromkeys(header[1:4], _percent))
    confusion = Table("confusion", ["true \\ predicted", *names], [[n, *c] for n, c in zip(names, counts, strict=True)])
    html = paragraph(
        f"Trial {study.best.number} on dev, {len(predictions.pairs)} utterances. Percent and depth of colour: share of "
        "the true class, so the diagonal is recall."
    )
    if never := [score.name for score in scores if not score.predicted]:
        html += say(f"Never predicted: {', '.join(never)}.", "warn")
    lengths = [(score.name, score.f1, f"{100 * score.f1:.1f}  (n = {score.support})") for score in scores]
    charts = bars(lengths, "F1 by class, in percent", width=500)
    html += f'<div class="plots">{matrix(counts, names, "confusion on dev")}<div>{charts}{table.html()}</div></div>'
    return Section("classes", title, html), [table, confusion]


def failures(study: Study) -> Part:
    failed = [trial for trial in study.trials if trial.state == "failed"]
    if not failed:
        return Section("failures", "Failures", paragraph("No trial failed.")), []
    keys = list(study.ranges)
    short = short_names(keys)
    grouped = Counter(trial.reason or "no reason was kept" for trial in failed)
    html = "".join(say(f"{count} failed: {reason}", "bad") for reason, count in grouped.most_common(5))
    rows = [
        [t.number, t.epochs, t.reason, " ".join(f"{short[k]}={plain(t.params[k])}" for k in keys if k in t.params)]
        for t in failed
    ]
    table = Table("failures", ["trial", "epochs", "reason", "parameters"], rows)
    return Section("failures", "Failures", html + table.html(ROWS)), [table]


def commands(study: Study) -> Part:
    environment, folder = study.environment(), shlex.quote(_near(study.folder))
    sha, said = environment.get("git_sha"), str(environment.get("command", ""))
    lines = [f"git checkout {sha}"] if sha else []
    if environment.get("git_dirty"):
        lines += ["# the code had uncommitted changes", f"git apply {folder}/code.diff"]
    if said:
        again = re.sub(r"^\S*mer/(\w+)\.py\b", r"python -m mer.\1", said)
        again = re.sub(r"\s--(fresh|resume)\b", "", again)
        lines += ["# the whole study; add --resume to go on with it", again]
    if study.best:
        out = shlex.quote(f"exports/{study.name}")
        lines += [
            f"python -m mer.export {folder} --trial {study.best.number} --out {out}",
            f"python -m mer.evaluate {out} --seeds 0 42 43 114 3407",
        ]
    lines.append(f"python -m analysis.report {folder}")
    html = "<pre>" + "\n".join(escape(line) for line in lines) + "</pre>"
    packages = environment.get("packages", {})
    table = Table("packages", ["package", "version"], [[k, v] for k, v in packages.items()])
    python = environment.get("python")
    if packages:
        html += note(f"Python {python}; " + ", ".join(f"{name} {version}" for name, version in packages.items()))
    return Section("reproduce", "Reproduce", html), [table]


def _near(folder: Path) -> str:
    """Return the path relative to the working directory where it lies below it, else the path as it is."""
    try:
        return str(folder.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(folder)
