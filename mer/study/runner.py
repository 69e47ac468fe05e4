"""Run one study from spec to summary: features, ledger, tracker, trials, leaderboard."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mer.checkpoints import Store
from mer.console import EXIT_FAULT, EXIT_INTERRUPTED
from mer.errors import MerError
from mer.features import load_features
from mer.files import write_json, write_text
from mer.io_faults import is_of_the_machine
from mer.read_files import read_object
from mer.redaction import without_secrets
from mer.study.audit.command import words_at_start
from mer.study.cluster.connect import machines_at
from mer.study.cluster.trials import run_trials
from mer.study.folder.claim import claim_folder, whole_or_absent
from mer.study.folder.environment import describe_environment, stored_diff
from mer.study.folder.leftovers import sweep
from mer.study.folder.lock import study_lock
from mer.study.folder.weight_retention import WeightKeeper
from mer.study.next_steps import next_steps
from mer.study.paths import CODE_DIFF, SPACE, SPACE_TYPED, SUMMARY
from mer.study.preflight.check_study import check_study
from mer.study.preflight.feature_plan import FeaturePlan, ensure_plan
from mer.study.preflight.interruption import OrderlyStop, after_interruption, going_on_told
from mer.study.preflight.object_store import refuse_no_store
from mer.study.preflight.objective_classes import refuse_unscored_classes
from mer.study.preflight.run_options import RunOptions
from mer.study.search.early_stopping import build_policy
from mer.study.search.engine import StudyEngine
from mer.study.search.ledger import Ledger
from mer.study.search.spending import Spending
from mer.study.search.stop_request import StopSignal
from mer.study.search.stored_trial import ENDED, ENDED_WORDS
from mer.study.show.leaderboard import Results
from mer.study.show.live_table import Display
from mer.study.space.spec import StudySpec
from mer.study.tracking.about import About, data_used, source_tags
from mer.study.tracking.content import StudyIdentity
from mer.study.tracking.copied import original_of
from mer.study.tracking.from_disk import StudyOnDisk
from mer.study.tracking.recorded_store import is_as_before, store_of
from mer.study.tracking.shared_view import view_of
from mer.study.tracking.sync import sync_words
from mer.study.tracking.tracker import Tracker
from mer.study.tracking.trial_files import DevSplit
from mer.study.tracking.writer import Behind
from mer.terminal.escapes import neutral
from mer.training import baseline_scores
from mer.training.metrics import macro_words


def run_study(spec: StudySpec, options: RunOptions, console: Console) -> dict[str, Any]:
    """Run one study, or go on with it. Returns the content of `summary.json`.

    Raises: MerError for every fault that a user can mend; KeyboardInterrupt after an orderly stop, or at once.
    """
    with going_on_told(options, spec, console):
        return _checked(spec, options, console)


def _checked(spec: StudySpec, options: RunOptions, console: Console) -> dict[str, Any]:
    started = time.monotonic()
    checked = check_study(spec, options, machines_at(options.address))  # before --fresh puts anything aside
    for note in checked.notes:
        console.print(f"data: {note}", highlight=False, soft_wrap=True, markup=False)
    with study_lock(options.studies, spec.study):
        folder = claim_folder(options.studies, spec.study, options.as_typed, resume=options.resume, fresh=options.fresh)
        with whole_or_absent(folder):
            plan = ensure_plan(checked.plan, options.cache, max_failed=spec.max_failed)
            refuse_no_store(plan.shared_bytes(), options.address)
        words = f"{plan.encoded} inputs encoded" if plan.encoded else "all cached, nothing encoded"
        console.print(f"features: {len(plan.paths())} files, {words} ({plan.seconds:.1f} s)", highlight=False)
        for line in plan.failed_lines():
            console.print(f"note: {line}", highlight=False, markup=False, soft_wrap=True)
        return _run(spec, options, folder, plan, console, started)


def _run(
    spec: StudySpec, options: RunOptions, folder: Path, plan: FeaturePlan, console: Console, started: float
) -> dict[str, Any]:
    dev, baseline, macro = _dev_split(spec, plan)
    if macro:
        console.print(f"note: {macro}", highlight=False)
    with whole_or_absent(folder):
        ledger = Ledger(folder, spec)
        ledger.check_features(folder, plan.names())
        write_json(folder / SPACE, spec.model_dump(mode="json", by_alias=True, exclude_defaults=True))
        if options.space is not None:
            typed = options.space.read_text(encoding="utf-8", errors="replace")
            write_text(folder / SPACE_TYPED, without_secrets(typed)[0])
        diff = stored_diff() if spec.provenance.diff else ""
        if diff or not (folder / CODE_DIFF).exists():  # later runs on clean code do not undo what an earlier one ran
            write_text(folder / CODE_DIFF, diff + "\n")
    if gone := sweep(folder, [trial.number for trial in ledger.trials() if trial.state in ENDED]):
        kinds = ", ".join(f"{count} x {kind}" for kind, count in Counter(one.kind for one in gone).items())
        console.print(f"left by killed runs, now removed: {kinds}", highlight=False, soft_wrap=True)
    if options.resume:
        identity = _identity(spec, ledger)
        for line in words_at_start(StudyOnDisk(folder, identity, spec.description, tuple(ledger.trials()))):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    environment = describe_environment(sys.argv) | {
        "features": sorted(path.name for path in plan.paths()),
        "threads": spec.resources.threads,
        "device": spec.resources.device,
    }
    store = store_of(folder)
    say = lambda text: console.print(text, highlight=False, soft_wrap=True)  # noqa: E731
    if is_as_before(store):
        say(f"MLflow: {store.shown}, where this study was recorded before; another: {store.instead}")
    if origin := original_of(folder, store):
        say(f"note: this study is a copy of {origin}, which keeps its runs in MLflow; the copy gets its own")
        ledger.part_from_original()
    keeper = WeightKeeper(Store(options.studies), spec, folder, say)
    keeper.remember(ledger.trials())
    written_space = read_object(folder / SPACE).get("params", {})
    about = About(
        view_of(_identity(spec, ledger), written_space),
        source_tags(without_secrets(options.command)[0], str(environment["git_sha"])),
        data_used(spec.space.base, plan.names().values()),
    )
    tracker = Tracker(store, spec, folder, ledger.generation, environment, dev, keeper.trial_ended, say, about=about)
    tracker.start(ledger.trials())

    if options.retry_failed:
        failed = ledger.retries.propose()
        say(f"failed trials that are tried again: {', '.join(map(str, failed)) or 'none'}")
    display = _display(spec, Results(spec, ledger), console)
    engine = StudyEngine(spec, ledger, build_policy(spec.budget, spec.scheduler), [display, tracker])
    spending = Spending(engine, started)
    stop = StopSignal(engine, spec.budget.hours, spending)
    status, behind, in_order = "FAILED", Behind(), False
    pages: list[str] = []
    until_closed = contextlib.ExitStack()
    until_closed.enter_context(stop.listening())
    try:
        if ledger.work_left() and not stop.wanted:
            with display:
                _run_trials(engine, plan, folder, options, display, stop, say)
            if not stop.wanted and (engine.live or ledger.work_left()):
                engine.block("Ray has ended before the study was done", "see whether the machine has room for Ray")
        spending.note(at_once=True)
        status, in_order = "KILLED" if stop.wanted else "FINISHED", True
    except KeyboardInterrupt:  # the second Ctrl-C
        status = "KILLED"
        raise
    finally:
        results = Results(spec, ledger)
        summary = results.summary(
            {
                "baseline_majority": baseline,
                **({"macro_f1": macro} if macro else {}),
                "features": {
                    "files": sorted(str(p) for p in plan.paths()),
                    "encoded": plan.encoded,
                    "max_failed": spec.max_failed,
                    "failed_clips": {found.title: found.as_json() for found in plan.failures if found.count},
                },
                "seconds": round(time.monotonic() - started, 1),
                "controller_ms_per_report": _controller_ms(engine),
                "mlflow": {"uri": store.shown, "experiment": spec.study},
                "environment": environment,
            }
        )
        try:
            write_json(folder / SUMMARY, summary)
        except OSError as fault:  # a former one stays
            engine.block(fault)
        note = results.note(options.start_over, folder)
        make_pages = in_order and not options.quiet
        written = (lambda: pages.extend(options.pages(folder))) if make_pages else (lambda: None)
        behind = tracker.close(status, results.best_metrics(), note, results.pictured, written)
        keeper.remember(ledger.trials())
        keeper.finish()
        sweep(folder, [trial.number for trial in ledger.trials() if trial.state in ENDED])  # of workers that died
        until_closed.close()
    if not options.quiet:
        results.print_leaderboard(console, baseline)
        console.print("\n".join(next_steps(options, folder, results, stop, pages)), highlight=False, soft_wrap=True)
    engine.raise_if_stopped(options.go_on(spec.budget.trials), options.try_again(spec.budget.trials), folder)
    if tracker.errors:
        raise MerError(
            folder,
            f"{len(tracker.errors)} times a trial's files could not be written: {tracker.errors[0].splitlines()[0]}",
            then=f"nothing is lost; `{options.go_on(spec.budget.trials)}` writes them again",
        )
    if behind and stop.interrupted:  # the command ends as interrupted
        say(f"note: {behind.words} ({behind.cause}): {sync_words(folder)}")
    elif behind:
        raise MerError(
            store.shown,
            f"{behind.words}: {behind.cause}",
            then=f"the study itself is whole. When MLflow takes records again: {sync_words(folder)}",
        )
    if stop.interrupted:
        raise OrderlyStop
    return summary


def _identity(spec: StudySpec, ledger: Ledger) -> StudyIdentity:
    metrics = tuple(objective.metric for objective in spec.objective)
    return StudyIdentity(spec.study, ledger.generation, metrics, spec.objective[0].mode)


def _give_up(engine: StudyEngine, folder: Path, options: RunOptions) -> None:
    """End the process in words. The journal is whole; MLflow gets the rest from the next command."""
    trials, code = engine.spec.budget.trials, EXIT_FAULT
    try:
        engine.raise_if_stopped(options.go_on(trials), options.try_again(trials), folder)
        print(f"{neutral(after_interruption(options, engine.spec))}\ninterrupted", file=sys.stderr, flush=True)
        code = EXIT_INTERRUPTED
    except MerError as fault:
        print(f"error: {neutral(fault.message)}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(code)


def _run_trials(
    engine: StudyEngine,
    plan: FeaturePlan,
    folder: Path,
    options: RunOptions,
    display: Display,
    stop: StopSignal,
    say: Callable[[str], None],
) -> None:
    """Run the trials; what the machine refuses the driver meanwhile stops the study in order.

    On a full disk Ray fails in ways of its own once the study was stopped, e.g. with an EOFError for a file that it
    could not write: the reason that is known is the one to tell.
    """
    try:
        give_up, go_on = partial(_give_up, engine, folder, options), options.go_on(engine.spec.budget.trials)
        run_trials(engine, plan, folder, options.address, display.tick, stop, say, give_up, go_on)
    except Exception as fault:
        if isinstance(fault, OSError) and is_of_the_machine(fault):
            engine.block(fault)
        if not engine.stopped:
            raise


def _dev_split(spec: StudySpec, plan: FeaturePlan) -> tuple[DevSplit, dict[str, float], str]:
    """Return ids and labels of dev, the baseline that every trial must beat, and a line on macro-F1 and UA."""
    data = spec.data
    task = data.label
    files = next(iter(plan.files.values()))
    train, dev = load_features(files["train"]), load_features(files["dev"])
    if task not in dev.labels:
        raise MerError("data.label", f"this dataset has no {task} labels", allowed=", ".join(dev.labels))
    names, folds = dev.label_names[task], plan.folds.folds if plan.folds else ()
    rows = np.arange(len(dev.ids)) if plan.folds is None else plan.folds.dev_rows
    labels = np.asarray(dev.labels[task])[rows]
    parts = [(train.labels[task][fold.train], dev.labels[task][fold.dev]) for fold in folds]
    whole = [(train.labels[task], labels)]
    told = [baseline_scores(data, before, after, names).as_metrics("dev") for before, after in parts or whole]
    baseline = {name: float(np.mean([one[name] for one in told])) for name in told[0]}
    baseline.pop("dev_loss"), baseline.pop("dev_ece", None)  # of made-up scores: they mean nothing
    refuse_unscored_classes(spec, data.task, names, labels)
    macro = macro_words("dev", names, labels) if data.task == "class" else ""
    return DevSplit(tuple(dev.ids[row] for row in rows), labels, data), baseline, macro


def _display(spec: StudySpec, before: Results, console: Console) -> Display:
    """Build the live table; it counts on from the trials that earlier runs of the command ended."""
    ended: Counter[str] = Counter({word: n for word, n in before.counts.items() if word in ENDED_WORDS})
    metric = spec.objective[0].metric
    best = (before.best.best[metric], before.best.number) if before.best else None
    first = before.first.best.get(metric) if before.first else None
    top = [(one.best[metric], one.number, one.params) for one in before.ranked[:3]]
    return Display(spec, before.most, ended=ended, best=best, first=first, top=top, console=console)


def _controller_ms(engine: StudyEngine) -> dict[str, float]:
    """Return how long our own code held up Ray's loop per report, in milliseconds."""
    spent = engine.seconds_in_reports
    mean_s = spent.total_s / max(1, spent.count)
    return {"mean": round(1000 * mean_s, 3), "max": round(1000 * spent.most_s, 3), "reports": spent.count}
