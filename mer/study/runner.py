"""One study from spec to summary: features, ledger, tracker, Ray, leaderboard."""

from __future__ import annotations

import importlib
import math
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mer.config import TrialConfig
from mer.console import QUIET_ENVIRONMENT
from mer.errors import MerError
from mer.features import load_features
from mer.files import write_json, write_text
from mer.study.adapters import EngineScheduler, EngineSearcher, Heartbeat, StopWhen
from mer.study.display import Display
from mer.study.engine import StudyEngine
from mer.study.environment import code_diff, describe_environment
from mer.study.feature_plan import FeaturePlan, ensure_plan
from mer.study.folder import claim_folder, forget_empty_folder
from mer.study.ledger import Ledger
from mer.study.lock import study_lock
from mer.study.policies import build_policy
from mer.study.reports import Assignment
from mer.study.results import Results
from mer.study.spec import StudySpec
from mer.study.tracker import DevSplit, Store, Tracker
from mer.training.metrics import majority_scores
from trainables import TRAINABLES

REPORT_INTERVAL_S = 0.5  # short trials put several epochs into one report: a report costs Ray more than it costs us
_STORE_HEADROOM = 128 * 2**20
_LOST_WORKERS = 2


@dataclass(frozen=True)
class Options:
    """How the command was called, beside the study itself."""

    studies: Path
    cache: Path
    resume: bool = False
    fresh: bool = False
    address: str | None = None
    command: str = "python -m mer.tune"


class StopSignal:
    """Why the loop should end: Ctrl-C or SIGTERM, the time budget, or a hopeless study."""

    def __init__(self, engine: StudyEngine, hours: float | None) -> None:
        self.engine = engine
        self.deadline = time.monotonic() + hours * 3600 if hours else math.inf
        self.interrupted = False

    @property
    def wanted(self) -> bool:
        return self.interrupted or bool(self.engine.hopeless) or time.monotonic() > self.deadline

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Turn SIGINT and SIGTERM into a request to stop; a second one interrupts at once."""

        def ask(number: int, frame: Any) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_study(spec: StudySpec, options: Options, console: Console) -> dict[str, Any]:
    """Run, or go on with, one study. Returns what is written to `summary.json`.

    Raises: MerError for everything a user can mend; KeyboardInterrupt after an orderly stop.
    """
    started = time.monotonic()
    with study_lock(options.studies, spec.study):
        folder = claim_folder(options.studies, spec.study, options.command, resume=options.resume, fresh=options.fresh)
        try:
            plan = ensure_plan(spec, options.cache)
        except BaseException:
            forget_empty_folder(folder)
            raise
        words = f"{plan.encoded} texts encoded" if plan.encoded else "all cached, nothing encoded"
        console.print(f"features: {len(plan.paths())} files, {words} ({plan.seconds:.1f} s)", highlight=False)
        return _run(spec, options, folder, plan, console, started)


def _run(
    spec: StudySpec, options: Options, folder: Path, plan: FeaturePlan, console: Console, started: float
) -> dict[str, Any]:
    ledger = Ledger(folder, spec)
    ledger.check_features(
        folder, {setting: {s: p.name for s, p in files.items()} for setting, files in plan.files.items()}
    )
    dev, baseline = _dev_split(spec, plan)
    environment = describe_environment(sys.argv)
    store = Store.under(options.studies, os.environ.get("MLFLOW_TRACKING_URI"))
    tracker = Tracker(store, spec, folder, ledger.generation, environment, dev)
    write_json(folder / "space.json", spec.model_dump(mode="json", by_alias=True, exclude_defaults=True))
    write_text(folder / "code.diff", code_diff() + "\n")
    tracker.start(ledger.trials(), [folder / "space.json", folder / "code.diff"])
    before = Results(spec, ledger)
    display = Display(spec, ended=_ended(before), best=_best(before), first=_first(before), console=console)
    engine = StudyEngine(spec, ledger, build_policy(spec.budget, spec.scheduler), [display, tracker])
    stop = StopSignal(engine, spec.budget.hours)
    status = "FAILED"
    try:
        if ledger.work_left():
            with display:
                _fit(engine, plan, options, folder, display, stop)
        status = "KILLED" if stop.wanted else "FINISHED"
    finally:
        results = Results(spec, ledger)
        summary = results.summary(
            {
                "baseline_majority": baseline,
                "features": {"files": sorted(str(p) for p in plan.paths()), "encoded": plan.encoded},
                "seconds": round(time.monotonic() - started, 1),
                "controller_ms_per_report": _controller_ms(engine),
                "mlflow": {"uri": store.uri, "experiment": spec.study},
                "environment": environment,
            }
        )
        write_json(folder / "summary.json", summary)
        metrics = {f"best_{k}": v for k, v in results.best.best.items() if k.startswith("dev_")} if results.best else {}
        tracker.close(status, metrics, [folder / "summary.json"])
    results.print_leaderboard(console, baseline)
    _print_next(spec, options, folder, store, results, stop, tracker, console)
    engine.raise_if_hopeless()
    if stop.interrupted:
        raise KeyboardInterrupt
    return summary


def _fit(
    engine: StudyEngine, plan: FeaturePlan, options: Options, folder: Path, display: Display, stop: StopSignal
) -> None:
    """Hand the engine's trials to Ray Tune until there are none left or `stop` is wanted."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    import ray
    from ray import tune

    from trainables.shared_features import SharedFeatures

    spec = engine.spec
    module, name = TRAINABLES[spec.trainable].split(":")
    with stop.listening():
        _start_ray(options.address, sum(path.stat().st_size for path in plan.paths()))
        try:
            trainable = getattr(importlib.import_module(module), name)
            features = SharedFeatures.put(plan.paths())
            resources = {"cpu": spec.resources.cpu, "gpu": spec.resources.gpu}
            name_of = lambda trial: f"{trial.config['number']:05d}"  # noqa: E731
            tuner = tune.Tuner(
                tune.with_resources(tune.with_parameters(trainable, features=features), resources),
                tune_config=tune.TuneConfig(
                    search_alg=EngineSearcher(engine, lambda a, c: _slot(engine, plan, folder, a, c)),
                    scheduler=EngineScheduler(engine),
                    num_samples=-1,
                    max_concurrent_trials=_workers(spec),
                    reuse_actors=True,
                    trial_name_creator=name_of,
                    trial_dirname_creator=name_of,
                ),
                run_config=tune.RunConfig(
                    name="run",
                    storage_path=str((folder / ".ray").resolve()),
                    verbose=0,
                    callbacks=[Heartbeat(display.tick)],
                    stop=StopWhen(lambda: stop.wanted),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    failure_config=tune.FailureConfig(max_failures=_LOST_WORKERS),
                ),
            )
            tuner.fit()
        finally:
            ray.shutdown()


def _slot(
    engine: StudyEngine, plan: FeaturePlan, folder: Path, assignment: Assignment, config: TrialConfig
) -> dict[str, Any]:
    """What a worker gets to know of a trial."""
    spec = engine.spec
    return {
        "number": assignment.number,
        "folder": str((folder / "trials" / f"{assignment.number:05d}").resolve()),
        "config": config.model_dump(mode="json"),
        "features": {"text": plan.of(config)},
        "decision_epochs": engine.policy.decision_epochs(assignment.number),
        "report_interval_s": REPORT_INTERVAL_S,
        "threads": max(1, int(spec.resources.cpu)),
        "device": "cuda" if spec.resources.gpu else "cpu",
    }


def _start_ray(address: str | None, feature_bytes: int) -> None:
    """A private Ray on this machine, or the cluster at `address`."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "include_dashboard": False}
    if address is None:  # 'local' is said aloud: ray.init() would join any cluster that runs on this machine
        ray.init(address="local", object_store_memory=int(1.2 * feature_bytes) + _STORE_HEADROOM, **quiet)
        return
    try:
        quiet.pop("include_dashboard")
        ray.init(address=address, runtime_env={"env_vars": QUIET_ENVIRONMENT}, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as fault:
        raise MerError(
            f"--address {address}",
            f"no Ray cluster answers there ({fault})",
            then="leave --address out to run on this machine",
        ) from fault


def _workers(spec: StudySpec) -> int:
    """Trials at once: what the user says, else as many as the resources hold. Raises MerError when none fits."""
    import ray

    have = ray.cluster_resources()
    fits = [have.get("CPU", 0) / spec.resources.cpu]
    if spec.resources.gpu:
        fits.append(have.get("GPU", 0) / spec.resources.gpu)
    most = int(min(fits) + 1e-9)
    if most < 1:
        raise MerError(
            "resources",
            f"a trial asks for cpu {spec.resources.cpu:g} and gpu {spec.resources.gpu:g}",
            allowed=f"at most cpu {have.get('CPU', 0):g} and gpu {have.get('GPU', 0):g} here",
            then="set resources.cpu / resources.gpu lower, or name a cluster with --address",
        )
    return min(most, spec.resources.workers or most)


def _dev_split(spec: StudySpec, plan: FeaturePlan) -> tuple[DevSplit, dict[str, float]]:
    """Ids and labels of dev, and the majority baseline that every trial must beat."""
    task = spec.trial_config({}).data.label if "data.label" not in spec.params else "emotion"
    files = next(iter(plan.files.values()))
    train, dev = load_features(files["train"]), load_features(files["dev"])
    if task not in dev.labels:
        raise MerError(files["dev"], f"has no {task} labels", allowed=", ".join(dev.labels), then="set data.label")
    scores = majority_scores(train.labels[task], dev.labels[task], dev.label_names[task])
    baseline = scores.as_metrics("dev")
    baseline.pop("dev_loss"), baseline.pop("dev_ece")  # of made-up scores: they mean nothing
    unknown = [o.metric for o in spec.objective if o.metric.startswith("dev_f1_") and o.metric not in baseline]
    if unknown:
        classes = ", ".join(f"dev_f1_{name}" for name in dev.label_names[task])
        raise MerError("objective.metric", f"{unknown[0]!r}: no such class", allowed=classes)
    return DevSplit(dev.ids, np.asarray(dev.labels[task])), baseline


def _ended(results: Results) -> Counter[str]:
    return Counter({word: n for word, n in results.counts.items() if word in ("finished", "stopped early", "failed")})


def _best(results: Results) -> tuple[float, int] | None:
    return (results.best.best[results.spec.objective[0].metric], results.best.number) if results.best else None


def _first(results: Results) -> float | None:
    return results.first.best.get(results.spec.objective[0].metric) if results.first else None


def _controller_ms(engine: StudyEngine) -> dict[str, float]:
    spent = np.array(engine.seconds_in_reports or [0.0]) * 1000
    return {
        "mean": round(float(spent.mean()), 3),
        "max": round(float(spent.max()), 3),
        "reports": len(engine.seconds_in_reports),
    }


def _print_next(
    spec: StudySpec,
    options: Options,
    folder: Path,
    store: Store,
    results: Results,
    stop: StopSignal,
    tracker: Tracker,
    console: Console,
) -> None:
    """The exact commands for what comes next."""
    say = lambda text: console.print(text, highlight=False, soft_wrap=True)  # noqa: E731
    left = results.counts["interrupted"] + max(
        0, spec.budget.trials - sum(results.counts.values()) + results.counts["waiting"]
    )
    if left and not stop.engine.hopeless:
        why = "interrupted" if stop.interrupted else "the time budget is used up"
        say(f"{why}: {left} trials are not finished, nothing is lost. Go on with\n  {options.command} --resume")
    else:
        say(f"more trials:     {options.command} --resume --trials {spec.budget.trials * 2}")
    say(f"compare trials:  mlflow ui --host 127.0.0.1 --backend-store-uri {store.uri}")
    if results.best:
        say(f"best trial:      {folder / 'trials' / f'{results.best.number:05d}' / 'artifacts'}")
    say(f"all numbers:     {folder / 'summary.json'}")
    if tracker.errors:
        say(
            f"MLflow: {len(tracker.errors)} writes failed, first: {tracker.errors[0]}\n"
            f"  the study itself is whole; `{options.command} --resume` writes them again"
        )
