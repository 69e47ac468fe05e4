"""Show how the study ran: workers over time, costs, failures."""

from __future__ import annotations

from collections import Counter

from analysis.findings.costs import Costs, costs
from analysis.page.document import Section
from analysis.page.html import folded, note, paragraph, say, tiles
from analysis.page.tables import Table
from analysis.page.words import clock, counted, plain, show
from analysis.plots.lanes import Span, lanes_svg, pack
from analysis.plots.picture import both
from analysis.stores.study import Study
from analysis.study_page.marks import kind
from analysis.study_page.trials import ROWS

_LANES = 40  # more of them are no picture any more


def timeline(study: Study) -> Section | None:
    """Draw what ran when. Trials are put into as few lanes as there were at once: the journal names no workers."""
    ended = [trial for trial in study.trials if trial.began and trial.ended]
    if len(ended) < 2:
        return None
    spans = []
    for trial in ended:
        assert trial.began and trial.ended
        begin, end = trial.began.timestamp(), trial.ended.timestamp()
        hint = f"trial {trial.number}, {trial.state}\n{clock(end - begin)}, {counted(trial.epochs, 'epoch')}"
        hint += f"\n{show(study.metric, study.value(trial))}"
        spans.append(Span(begin, max(end, begin), kind(study, trial), hint, trial.number))
    lanes = pack(spans)
    told = costs(study)
    html = paragraph(f"At most {counted(len(lanes), 'trial')} ran at the same time.") if told else ""
    html += both(lambda width: lanes_svg(lanes[:_LANES], "trials over time", width))
    html += note("Each row holds trials one after the other; trials of a pack share a worker. Grey: cut, red: failed.")
    if len(lanes) > _LANES:
        html += note(f"{len(lanes) - _LANES} more rows are not drawn.")
    return Section("timeline", "Workers over time", html)


def cost(study: Study) -> Section | None:
    told = costs(study)
    if told is None:
        return None
    saved = f"{100 * max(0.0, told.saved):.0f} %"
    items = [(clock(told.span), "first trial to last ending"), (clock(told.trial_seconds), "all trials added up")]
    items += [(f"{told.at_once:.1f}", "trials at once, on average"), (str(told.epochs), "epochs trained")]
    items += [(saved, f"of {told.epochs_in_full} epochs not trained: stopped early or failed")]
    rows = [
        [state, study.counts[state], seconds, seconds / max(1, study.counts[state])]
        for state, seconds in told.seconds_by_state.items()
    ]
    table = Table("cost", ["ending", "trials", "time", "time a trial"], rows, {"time": clock, "time a trial": clock})
    return Section("cost", "Cost", tiles(items) + table.html() + note(_best_cost(study, told)), [table])


def _best_cost(study: Study, told: Costs) -> str:
    if study.best is None or not study.best.ended:
        return ""
    before = [trial for trial in study.trials if trial.ended and trial.ended <= study.best.ended]
    return f"The best trial was known after {counted(len(before), 'trial')} had ended."


def failures(study: Study) -> Section:
    """List the failed trials with their reasons, and the files that cannot be read."""
    failed = [trial for trial in study.trials if trial.state == "failed"]
    unreadable = Table("unreadable", ["file", "why"], [[name, why] for name, why in study.unreadable.items()])
    html = "".join(
        say(f"{name} cannot be read: {why}. The page is made without it.", "warn") for name, why in unreadable.rows
    )
    if not failed:
        return Section("failures", "Failures", html + paragraph("No trial failed."), [unreadable])
    names = study.names
    grouped = Counter(trial.reason or "no reason was kept" for trial in failed)
    html += "".join(say(f"{count} failed: {reason}", "bad") for reason, count in grouped.most_common(5))
    if len(grouped) > 5:
        html += note(f"{len(grouped) - 5} more reasons are in the table.")
    rows = []
    for trial in failed:
        drawn = " ".join(f"{names[key]}={plain(trial.params[key])}" for key in names if key in trial.params)
        rows.append([trial.number, trial.epochs, trial.reason, drawn])
    table = Table("failures", ["trial", "epochs", "reason", "parameters"], rows)
    listed = table.html(ROWS)
    html += listed if len(failed) <= 10 else folded(f"All {len(failed)}", listed)
    return Section("failures", "Failures", html, [table, unreadable])
