"""The engine's trials on Ray: start or join a cluster, share the features, let Tune place the trials."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from mer.errors import MerError
from mer.study.cluster.connect import nodes_of_ray, session_folder, start_ray
from mer.study.cluster.connect_guard import GCS, guarded
from mer.study.cluster.leave import leave_ray
from mer.study.cluster.lost_workers import LostWorkers
from mer.study.cluster.node_watch import NodeWatch
from mer.study.cluster.own_ray import RayWatch, dead_process
from mer.study.cluster.shared_folder import SharedFolder
from mer.study.folder.leftovers import forget_session, note_session
from mer.study.paths import RAY, trial_name
from mer.study.preflight.feature_plan import FeaturePlan
from mer.study.preflight.machine import Machine, most_trials
from mer.study.search.engine import StudyEngine
from mer.study.search.halt import Halt
from mer.study.search.lacking_files import lacking_file
from mer.study.search.pack_sizes import PackSizes, learning_size, queue_room
from mer.study.search.slots import Slots
from mer.study.search.stop_request import StopSignal, children_spared
from mer.study.space.spec import StudySpec
from mer.terminal.escapes import neutral
from trainables import TRAINABLES
from trainables.proof import PROOF

_DIED, _ADVICE = ", a process of Ray's, has died", "see whether the machine ran out of memory"
_TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # StopSignal listens
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints boxes even at verbose=0
    "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),  # nobody reads Ray's record of all trials so far: the journal is ours
}


def run_trials(
    engine: StudyEngine,
    plan: FeaturePlan,
    folder: Path,
    address: str | None,
    tick: Callable[[list[tuple[int, int]]], None],
    stop: StopSignal,
    say: Callable[[str], None],
    give_up: Callable[[], None],
    go_on: str,
) -> None:
    """Hand the engine's trials to Ray Tune until there are none left or `stop` is wanted.

    Args:
        tick: called after every event with the trials and places of each worker.
        say: prints a line for the user.
        give_up: ends the process; called where a Ray of its own has died and holds the main thread.
        go_on: command that goes on with the study, for where Ray holds the whole process.
    """
    os.environ.update(_TUNE_ENVIRONMENT)
    import ray
    from ray import tune
    from ray.tune.search import ConcurrencyLimiter

    from mer.study.cluster.tune_hooks import EngineScheduler, EngineSearcher, Heartbeat, StopWhen
    from trainables.shared_features import SharedFeatures

    spec = engine.spec
    module, name = TRAINABLES[spec.trainable].split(":")
    with stop.listening(), RayWatch(partial(_ray_died, stop), give_up) as watch:
        with children_spared(), guarded(_last_words(spec, go_on, folder)) if address is None else nullcontext():
            start_ray(address, plan.shared_bytes())
        session = session_folder() if address is None else None
        try:
            if session:
                note_session(folder, session)
            trainable = getattr(importlib.import_module(module), name)
            features = SharedFeatures.put(plan.paths(), plan.tuned, plan.folds)
            resources = {"cpu": spec.resources.cpu, "gpu": spec.resources.gpu}
            workers = _workers(spec)
            most = learning_size(spec.sampler, spec.budget.trials, len(spec.points), workers)
            sizes = PackSizes(spec.resources, workers, lambda: engine.unfinished, most)
            room = queue_room(spec.sampler, spec.budget.trials)
            shared = SharedFolder(folder, engine, say, ray.nodes)
            slots = Slots(engine, folder, plan.of, sizes, say, room, shared.proof, lacking_file)
            limiter = ConcurrencyLimiter(EngineSearcher(slots), max_concurrent=workers)
            nodes = NodeWatch(limiter, partial(_fitting, spec), say) if address is not None else None
            name_of = lambda trial: trial_name(trial.config["number"])  # noqa: E731
            tuner = tune.Tuner(
                tune.with_resources(tune.with_parameters(trainable, features=features), resources),
                tune_config=tune.TuneConfig(
                    search_alg=limiter,
                    scheduler=EngineScheduler(slots, shared, LostWorkers(lambda: stop.wanted, ray.nodes)),
                    num_samples=-1,
                    reuse_actors=True,
                    trial_name_creator=name_of,
                    trial_dirname_creator=name_of,
                ),
                run_config=tune.RunConfig(
                    name="run",
                    storage_path=str((folder / RAY).resolve()),
                    verbose=0,
                    callbacks=[Heartbeat(stop.listen, tick, slots, nodes)],
                    stop=StopWhen(lambda: stop.wanted),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    failure_config=tune.FailureConfig(max_failures=0),  # the engine hands lost trials out again
                ),
            )
            stop.listen()  # again: ray.init has put its own SIGTERM handler over ours
            tuner.fit()
        except Exception:
            if dead := dead_process():  # the watch, which looks now and then, may not have seen it yet
                _ray_died(stop, dead)
            raise
        finally:
            watch.end()
            leave_ray()
            if session:
                forget_session(folder, session)
            shutil.rmtree(folder / PROOF, ignore_errors=True)


def _ray_died(stop: StopSignal, process: str) -> None:
    """Stop the study; where it is being stopped, Ray has died by the same signal, and nothing is at fault."""
    if not stop.interrupted:
        stop.engine.block(f"{process}{_DIED}", advice=_ADVICE)


def _last_words(spec: StudySpec, go_on: str, folder: Path) -> str:
    """Return what is to be said where the GCS dies while Ray connects to it."""
    halt = Halt()
    halt.block(f"{GCS}{_DIED}", _ADVICE)
    try:
        halt.raise_if_stopped(spec.study, go_on, go_on, folder)
    except MerError as fault:
        return neutral(f"error: {fault.message}")
    return ""


def _fitting(spec: StudySpec, have: Sequence[Machine]) -> int:
    """Return how many trials would run at once on what a cluster has now; 0 for none."""
    try:
        return most_trials(spec.resources, have) if any(node.cpus for node in have) else 0
    except MerError:
        return 0


def _workers(spec: StudySpec) -> int:
    """Return how many trials run at once. Raises: MerError when none fits."""
    return most_trials(spec.resources, nodes_of_ray())
