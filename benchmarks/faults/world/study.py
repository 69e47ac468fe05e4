"""A study in the simulated world: the real command's code, run again and again in one folder.

    with World(root, Kind.of("alone")) as world:
        while (ended := world.command(plan)).code: ...

Real: runner, engine, slots, ledger, tracker, keeper of weights, hooks for Ray, the worker's members and files. Made up:
time, threads, Ray, MLflow's server, and what a trial learns.
"""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.faults.world.clock import Clock
from benchmarks.faults.world.cluster import Cluster
from benchmarks.faults.world.faults import NoFault, Plan
from benchmarks.faults.world.files import FileLayer
from benchmarks.faults.world.mlflow_client import Client, Wire
from benchmarks.faults.world.mlflow_server import Server
from benchmarks.faults.world.placed import Moments
from benchmarks.faults.world.processes import Crash, Process, Running
from benchmarks.faults.world.stand_ins import Names, locks_of, standing_in
from benchmarks.faults.world.tensors import safe_open_through, save_file
from benchmarks.faults.world.thread_modules import Executor, queue_of, threading_of
from benchmarks.faults.world.threads import Hub
from benchmarks.faults.world.training import DEV, ToyPack
from mer.config import TrialConfig
from mer.console import explain_os_error
from mer.errors import MerError
from mer.study import runner
from mer.study.audit.command import audit
from mer.study.preflight.feature_plan import FeaturePlan
from mer.study.preflight.run_options import RunOptions
from mer.study.space.spec import StudySpec
from mer.study.tracking.from_disk import StudyOnDisk

CRASHED = -9
_ENVIRONMENT = {"command": "mer tune space.yaml", "git_sha": "abc", "python": "3.11"}


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Args:
        code: its exit code; CRASHED when the driver died.
        message: what it said at its end.
        trace: of an exception that no command should end with.
    """

    code: int
    message: str = ""
    trace: str = ""


@dataclass
class Said:
    """Stands in for rich's Console: remembers what was printed."""

    lines: list[str] = field(default_factory=list)
    is_terminal: bool = False

    def print(self, *things: Any, **_: Any) -> None:
        self.lines += [str(thing) for thing in things]

    out = print


class _NoFeatures(FeaturePlan):
    """The plan of a study that reads nothing."""

    def of(self, config: TrialConfig) -> dict[str, dict[str, str]]:
        return {}


class World:
    """One study's folder, its MLflow server and its clock, which outlive every command.

    Args:
        root: an empty folder, or none yet; all below it may fail.
        spec: the study.
        nodes: places for workers on each node.
    """

    def __init__(self, root: Path, spec: StudySpec, nodes: tuple[int, ...]) -> None:
        self.root, self.spec, self.nodes = root, spec, nodes
        self.studies, self.folder = root / "studies", root / "studies" / spec.study
        root.mkdir(parents=True, exist_ok=True)
        self.running = Running()
        self.clock = Clock(self.running)
        self.hub = Hub(self.clock, self.running)
        self.server = Server()
        self.files = FileLayer(root, self.running, NoFault())
        self.wire = Wire(self.server, self.clock, self.running, NoFault())
        self._names = {
            "time": self.clock,
            "threading": threading_of(self.hub),
            "queue": queue_of(self.hub),
            "uuid": Names(),
            "ThreadPoolExecutor": Executor,
            "FileLock": locks_of(self.running),
            "safe_open": safe_open_through(self._open_tensors),
            "save_file": save_file,
            "build_program": lambda runs: ToyPack(runs).train_epoch,
            "gc": SimpleNamespace(collect=lambda: 0),
            "refuse_unusable": lambda *_, **__: None,  # a server that is in memory
        }

    def command(self, plan: Plan, *, resume: bool) -> Ended:
        """Run the study's command, as a driver with its workers, until it ends or dies."""
        self.files.begin(plan)
        self.wire.begin(plan)
        driver = Process("driver")
        cluster = Cluster(list(self.nodes), driver, self.clock, self.hub, self.running, Moments(plan))
        names = self._names | {"ray": cluster.ray_in_a_worker()}
        with (
            self.files.installed(),
            standing_in(names, lambda *_, **__: Client(self.wire), self._runner(cluster)),
        ):
            try:
                with self.running.inside(driver):
                    return self._ended(resume)
            except Crash:
                return Ended(CRASHED)
            finally:
                for process in (driver, *(worker.process for worker in cluster.workers)):
                    process.alive = False
                    self.hub.kill(process)
                self.running.now = self.running.outside

    @contextmanager
    def from_outside(self) -> Iterator[None]:
        """Let the block look at the study, and at its record in MLflow, from this world; nothing fails meanwhile."""
        with standing_in(self._names, lambda *_, **__: Client(self.wire), {}):
            yield

    def audit(self) -> list[str]:
        """Return what the product's own audit finds now."""
        with self.from_outside():
            return [finding.line for finding in audit(StudyOnDisk.read(self.folder), thorough=True)]

    def forget(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _ended(self, resume: bool) -> Ended:
        """Run the command, and end as `mer.console.run` does."""
        said = Said()
        options = RunOptions(self.studies, self.root / "features", resume=resume)
        try:
            runner.run_study(self.spec, options, said)  # type: ignore[arg-type]
        except KeyboardInterrupt:
            return Ended(130, "interrupted")
        except MerError as fault:
            return Ended(2, fault.message)
        except OSError as fault:
            return Ended(2, explain_os_error(fault).message, traceback.format_exc())
        except Exception as fault:
            return Ended(1, f"unexpected {type(fault).__name__}: {fault}", traceback.format_exc())
        return Ended(0, "\n".join(said.lines))

    def _runner(self, cluster: Cluster) -> dict[str, Any]:
        """What of `mer.study.runner` is not this world's: data, features, the machine, Ray."""
        return {
            "check_study": lambda *_, **__: SimpleNamespace(plan=None, notes=()),
            "machines_at": lambda address: [],
            "ensure_plan": lambda *_, **__: _NoFeatures({}, 0, 0.0),
            "refuse_no_store": lambda *_, **__: None,
            "_dev_split": lambda *_, **__: (DEV, {"dev_weighted_f1": 0.1}, ""),
            "describe_environment": lambda command: dict(_ENVIRONMENT),
            "stored_diff": lambda: "",
            "run_trials": cluster.run_trials,
        }

    def _open_tensors(self, path: Any, do: Any) -> Any:
        below = self.files.path(path)
        return self.files.operate("open to read", below, do) if below else do()
