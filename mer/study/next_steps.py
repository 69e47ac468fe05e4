"""Say at the end of a study what comes next, as commands that can be typed."""

from __future__ import annotations

from pathlib import Path

from mer.study.paths import SUMMARY, artifacts_folder
from mer.study.preflight.run_options import RunOptions
from mer.study.search.stop_request import StopSignal
from mer.study.show.leaderboard import Results
from mer.terminal.commands import changed, command


def next_steps(options: RunOptions, folder: Path, results: Results, stop: StopSignal, pages: list[str]) -> list[str]:
    """Return lines for the user.

    Args:
        options: how the study was started.
        folder: of the study.
        results: what it found.
        stop: why it ended early, where it did.
        pages: lines that say where its picture and report are.
    """
    lines = []
    if not stop.engine.stopped:  # else the error message that follows says what to do
        lines += _go_on(options, results, stop)
    studies = changed({"--studies": (options.studies, "studies")})
    lines += [f"compare trials:  {command('mer.ui', results.spec.study, *studies)}"]
    lines += pages
    lines += [f"show it again:   {command('analysis.report', folder, '--open')}"]
    if results.best:
        out = Path("exports") / results.spec.study
        lines += [f"best trial:      {artifacts_folder(folder, results.best.number)}"]
        lines += [f"export it:       {command('mer.export', folder, '--out', out, *options.places)}"]
        seeds = ("--seeds", 0, 42, 43, 114, 3407)
        folds = results.spec.fixed.get("data.folds")
        if isinstance(folds, dict) and folds.get("search_folds"):
            confirm = command("mer.evaluate", "--top-k-from", folder, *seeds, *options.places)
            lines += [f"confirm on all folds: {confirm}"]
        lines += [f"over seeds:      {command('mer.evaluate', out, *seeds, *options.places)}"]
    return [*lines, f"all numbers:     {folder / SUMMARY}"]


def _go_on(options: RunOptions, results: Results, stop: StopSignal) -> list[str]:
    budget = results.spec.budget.trials
    lines = []
    if results.unfinished:
        why = "interrupted" if stop.interrupted else stop.used_up or "stopped"
        further = stop.spending.enlarge if stop.spending is not None else ""
        lines += [f"{why}: {results.unfinished} trials are not finished, nothing is lost. Go on with"]
        lines += [f"  {options.go_on(budget)} {further}".rstrip()]
    elif results.cells is not None:
        failed = f", {len(results.failed)} of them failed" if results.failed else ""
        lines += [f"all {results.cells} combinations are done{failed}"]
    else:
        lines += [f"more trials:     {options.command} --resume --trials {budget * 2}"]
    if results.failed:
        lines += [f"failed trials:   {options.try_again(budget)}"]
    return lines
