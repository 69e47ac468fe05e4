"""Build the report's sections: from a study to HTML and tables. Each says in words what it cannot show."""

from __future__ import annotations

from collections.abc import Callable

from analysis import figures
from analysis.findings import Noise, indistinct, pareto_front
from analysis.pages import Section, endings_key, note, paragraph, say, tiles
from analysis.plots import SERIES
from analysis.stores import Study, plain
from analysis.tables import Table, clock, gap, show, words
from mer.study.show.words import short_names

_BASELINE = "baseline_majority"
_COMPARED = ("dev_weighted_f1", "dev_macro_f1", "dev_accuracy", "dev_unweighted_accuracy", "dev_loss", "dev_ece")
_LESS = ("dev_loss", "dev_ece")
ROWS = 100
Part = tuple[Section, list[Table]]


def _formats(metrics: list[str]) -> dict[str, Callable[..., str]]:
    return {words(name): (lambda value, name=name: show(name, value)) for name in metrics}


def _shown_metrics(study: Study) -> list[str]:
    """List the metrics to show: the objectives, then the usual three."""
    usual = ["dev_weighted_f1", "dev_macro_f1", "dev_accuracy"]
    return list(dict.fromkeys([*(metric for metric, _ in study.objectives), *usual]))


def counted(study: Study) -> str:
    order = ["finished", "stopped early", "failed", "interrupted", "waiting"]
    parts = [f"{study.counts[word]} {word}" for word in order if study.counts[word]]
    return ", ".join(parts) or "no trial yet"


def header(study: Study) -> Part:
    baseline = study.summary.get(_BASELINE, {})
    best, first = study.best, study.trial(0)
    items = [(show(study.metric, study.value(best)) if best else "-", _best_label(study))]
    items += [(show(study.metric, first.best.get(study.metric)) if first else "-", "trial 0")]
    items += [(show(study.metric, baseline.get(study.metric)), "majority baseline")]
    items += [(str(len(study.trials)), "trials: " + counted(study))]
    html = tiles(items) + _state(study)
    facts = Table("study", ["fact", "value"], _facts(study))
    rows = [[name, searched.text, searched.condition] for name, searched in study.ranges.items()]
    space = Table("search_space", ["parameter", "range", "only when"], rows)
    fixed = Table("fixed", ["fixed", "value"], [[key, value] for key, value in study.identity.get("fixed", {}).items()])
    html += facts.html() + "<h3>What was searched</h3>"
    html += '<div class="plots">' + (fixed.html() if fixed.rows else "")
    html += (space.html() if rows else paragraph("No parameters: every trial has the fixed configuration.")) + "</div>"
    return Section("top", "Study", html), [facts, space, fixed]


def _best_label(study: Study) -> str:
    return f"best {words(study.metric)} on dev" + (f" (trial {study.best.number})" if study.best else "")


def _state(study: Study) -> str:
    counts = study.counts
    if not study.trials:
        return say("No trial has been handed out yet: there is nothing to show but what was asked for.", "warn")
    if counts["interrupted"] or counts["waiting"]:
        running = study.mlflow.status == "RUNNING"
        state = "is running, or its driver was killed" if running else "was interrupted"
        left = counts["interrupted"] + counts["waiting"]
        return say(
            f"This study {state}: {left} of its trials have not ended. The page shows what is known now.", "warn"
        )
    if not counts["finished"]:
        which = (
            "failed" if counts["failed"] == len(study.trials) else "finished: the others were stopped early or failed"
        )
        return say(f"{'Every trial' if which == 'failed' else 'No trial'} {which}. See Failures.", "bad")
    return ""


def _facts(study: Study) -> list[list[object]]:
    environment, config, identity = study.environment(), study.config(), study.identity
    sampler, scheduler = identity["sampler"], identity["scheduler"]
    data, encoders = config.get("data", {}), config.get("encoders") or {}
    backbones = [f"{m}: {e.get('backbone')} ({e.get('mode')})" for m, e in encoders.items() if isinstance(e, dict)]
    began = [trial.began for trial in study.trials if trial.began]
    ended = [trial.ended for trial in study.trials if trial.ended]
    seconds = study.summary.get("seconds") or study.mlflow.seconds
    span = clock((max(ended) - min(began)).total_seconds()) if began and ended else ""
    time = f"{clock(seconds)} (last run of the command)" if seconds else "not known"
    dirty = " with uncommitted changes (code.diff)" if environment.get("git_dirty") else ""
    sha = environment.get("git_sha") or study.mlflow.tags.get("mer.git_sha", "")
    searched = sorted({plain(t.params[k]) for t in study.trials for k in t.params if k.endswith(".backbone")})
    seeds = f"sampler {sampler['seed']}, training {config.get('seed', 'not known')}"
    stopper = scheduler["kind"] + (f", from epoch {scheduler['grace_epochs']}" if scheduler["kind"] != "none" else "")
    facts: list[list[object]] = [
        ["description", study.space.get("description", "")],
        ["objective", ", ".join(f"{metric} ({mode})" for metric, mode in study.objectives)],
        ["data", " ".join(str(data[key]) for key in ("dataset", "label", "root") if data.get(key))],
        ["backbone", ", ".join(searched or backbones)],
        ["trainable, epochs", f"{identity['trainable']}, up to {identity['epochs']} epochs"],
        ["sampler", sampler["kind"]],
        ["early stopping", stopper],
        ["seeds", seeds],
        ["wall time", time + (f"; first trial to last ending: {span}" if span else "")],
        ["first trial", f"{min(began):%Y-%m-%d %H:%M} UTC" if began else ""],
        ["code", f"{sha}{dirty}"],
        ["folder", str(study.folder)],
        ["MLflow", study.mlflow.note],
    ]
    return [row for row in facts if row[1]]


def best(study: Study, noise: Noise | None) -> Part:
    title = "Best against trial 0 and the majority baseline"
    if study.best is None:
        return Section("best", title, paragraph("No trial has finished, so there is no best one.")), []
    first, baseline = study.trial(0), study.summary.get(_BASELINE, {})
    columns = [f"best (trial {study.best.number})", "trial 0", "majority", "best - trial 0"]
    rows = []
    for metric in dict.fromkeys([*(m for m, _ in study.objectives), *_COMPARED]):
        if metric not in study.best.best:
            continue
        ours, theirs = study.best.best[metric], first.best.get(metric) if first else None
        rows.append([metric, ours, theirs, baseline.get(metric), ours - theirs if theirs is not None else None])
    table = Table("best", ["metric", *columns], rows)
    html = say(_caution(study, noise), "warn") + _metric_rows(table)
    if not baseline:
        html += note("The majority baseline is written when the study ends; it is not known yet.")
    if first and first is not study.best and first.state != "finished" and first.best:
        html += note(f"Trial 0 {first.state}: its row is the best epoch it reached.")
    if len(study.objectives) > 1:
        on_front = {trial.number for trial in pareto_front(study)}
        names = ", ".join(map(str, sorted(on_front)))
        html += paragraph(
            f'Several objectives: no finished trial beats trials {names} on all of them. "Best" on this page means '
            f"best {words(study.metric)}, the first objective."
        )
        html += f'<div class="plots">{figures.front(study, on_front)}</div>'
    return Section("best", title, html), [table]


def _metric_rows(table: Table) -> str:
    """Build the rows of the comparison; the unit of a row depends on its metric."""
    shown = []
    for metric, *values, difference in table.rows:
        name = words(metric) + (" (less is better)" if metric in _LESS else "")
        shown.append([name, *(show(metric, value) for value in values), gap(metric, difference)])
    return (
        Table(table.name, table.header, shown)
        .html()
        .replace("<td>", '<td class="n">')
        .replace('<tr><td class="n">', "<tr><td>")
        .replace("<th>", '<th class="n">')
        .replace('<tr><th class="n">', "<tr><th>")
    )


def _caution(study: Study, noise: Noise | None) -> str:
    assert study.best is not None
    best, first = study.best, study.trial(0)
    text = ""
    if noise:
        text = (
            f"Chance alone moves a dev score by about {noise.points} points (binomial standard error with "
            f"{noise.utterances} dev utterances): differences below that are no evidence. "
        )
    if first is best:
        text += "The best trial is trial 0, the first setting: the search has found nothing above it. "
    elif first is not None and study.metric in first.best:
        difference = (study.value(best) or 0.0) - first.best[study.metric]
        text += f"Best minus trial 0 is {gap(study.metric, difference)}"
        if noise:
            below = abs(difference) < noise.error
            text += ", which is below it. " if below else ", which is above it; seeds have yet to confirm it. "
        else:
            text += ". "
    if noise and len(study.finished) > 1:
        text += f"{indistinct(study, noise)} of {len(study.finished)} finished trials lie that close to the best. "
    return text + f"The best of {len(study.finished)} is also the luckiest of them: re-train it over several seeds."


def leaderboard(study: Study) -> Part:
    if not study.trials:
        return Section("leaderboard", "Leaderboard", paragraph("No trials yet.")), []
    metrics, keys = _shown_metrics(study), list(study.ranges)
    short = short_names(keys)
    order = ["stopped early", "interrupted", "failed", "waiting"]
    rest = [t for state in order for t in study.by_value([t for t in study.trials if t.state == state])]
    trials = [*study.finished, *rest]
    rows, marks = [], []
    for place, trial in enumerate(trials, 1):
        scores = [trial.best.get(metric) for metric in metrics]
        scores[0] = study.value(trial)
        ranked = place if trial.state == "finished" else None
        epoch = int(trial.best["epoch"]) if "epoch" in trial.best else None
        drawn = [_cell(trial.params[key]) if key in trial.params else None for key in keys]
        rows.append([ranked, trial.number, trial.state, *scores, epoch, trial.epochs or None, *drawn])
        ending = "best" if trial is study.best else {"stopped early": "cut", "failed": "failed"}.get(trial.state, "")
        marks.append(ending)
    head = ["rank", "trial", "ending", *map(words, metrics), "best epoch", "epochs", *(short[key] for key in keys)]
    table = Table("leaderboard", head, rows, _formats(metrics), marks)
    html = paragraph(
        "Scores on dev at each trial's best epoch. Only finished trials are ranked: one that was stopped early had "
        "fewer epochs, its number (grey) says how far it came, not what it could have become."
    )
    return Section("leaderboard", "Leaderboard", html + table.html(ROWS, css="tight")), [table]


def _cell(value: object) -> object:
    return plain(value) if isinstance(value, list | bool) or value is None else value


def history(study: Study, noise: Noise | None) -> Part:
    scored = [trial for trial in study.trials if study.value(trial) is not None]
    if not scored:
        return Section("history", "Optimisation history", paragraph("No trial has reported a value.")), []
    html = endings_key() + figures.history(study, noise)
    if len(scored) == 1:
        html += note("Only one trial has a value: there is no course to see yet.")
    if study.finished:
        shaded = f" Shaded: within one standard error ({noise.points} points) of the best." if noise else ""
        html += note(f"Line: best so far among finished trials.{shaded}")
    return Section("history", "Optimisation history", html), []


def curves(study: Study) -> Part:
    shown = study.finished[:SERIES] or study.by_value([t for t in study.trials if t.epochs])[:SERIES]
    pictures, legend = figures.curves(study, shown)
    if not pictures:
        return Section("curves", "Learning curves", paragraph("No trial has left the history of its epochs.")), []
    which = (
        f"{len(shown)} best finished trials" if study.finished else f"{len(shown)} best trials so far, none finished"
    )
    html = paragraph(f"The {which}.") if len(shown) > 1 else ""
    rows = [
        [t.number, *(row.get(k) for k in ("epoch", study.metric, "dev_loss", "train_loss"))]
        for t in shown
        for row in study.history(t)
    ]
    header = list(dict.fromkeys(["trial", "epoch", study.metric, "dev_loss", "train_loss"]))
    table = Table("learning_curves", header, [row[: len(header)] for row in rows] if len(header) == 5 else [])
    return Section("curves", "Learning curves", html + legend + f'<div class="plots">{pictures}</div>'), [table]
