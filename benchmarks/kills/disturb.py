"""What is done to a running study. Each kind is a function of the scene; it returns when it is done."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.kills.commands import Running
from benchmarks.kills.mlflow_http import MlflowServer
from benchmarks.kills.ray_nodes import RayNodes, family, named, trainers
from benchmarks.kills.worker_fork import ForkedWorkers
from benchmarks.kills.workshop import STUDY, Workshop

REFUSED = 2
_BALLAST, _PIECE_BYTES = "ballast", 256 * 1024


@dataclass
class Scene:
    """A study on its way.

    Args:
        shop: runs its command.
        studies: the folder of studies; a move or a copy changes it.
        chance: for what a disturbance leaves open.
        workers_forked: workers, which are no children of driver or node.
        nodes: the Ray cluster that it joins; None: each driver starts a Ray of its own.
        server: the MLflow server that it writes to; None: the database in the studies folder.
        process: the driver, once it runs.
    """

    shop: Workshop
    studies: Path
    chance: random.Random
    workers_forked: ForkedWorkers
    nodes: RayNodes | None = None
    server: MlflowServer | None = None
    process: Running | None = None

    @property
    def study(self) -> Path:
        return self.studies / STUDY

    @property
    def driver(self) -> Running:
        assert self.process is not None
        return self.process

    @property
    def arguments(self) -> list[str]:
        return ["--address", self.nodes.address] if self.nodes else []

    def start(self, *more: str) -> Running:
        """Start the driver, with --resume where a study is."""
        resume = ["--resume"] if (self.study / "journal.log").exists() else []
        self.process = self.shop.start(self.studies, *self.arguments, *resume, *more, own_group=True)
        return self.process

    def members(self) -> list[psutil.Process]:
        """Return the driver and every process of its Ray."""
        own = family(self.driver.pid) + self.workers_forked.members()
        return own + [
            member for node in (self.nodes.nodes if self.nodes else []) for member in family(node.process.pid)
        ]

    def workers(self) -> list[psutil.Process]:
        return list(trainers(self.members()))


@dataclass(frozen=True)
class Kind:
    """A disturbance.

    Args:
        act: does it.
        ends: it ends the driver; what follows needs another one.
        between: it is done when no driver runs.
    """

    act: Callable[[Scene], None]
    ends: bool = True
    between: bool = False


def kill_driver(scene: Scene) -> None:
    scene.driver.kill()


def ask_driver(scene: Scene) -> None:
    """SIGTERM: an orderly stop."""
    scene.driver.send_signal(signal.SIGTERM)


def kill_everything(scene: Scene) -> None:
    """Kill the driver and its Ray at once, as when the machine is switched off."""
    doomed = family(scene.driver.pid) + scene.workers()
    scene.driver.send_signal(signal.SIGSTOP)
    _send(doomed, signal.SIGKILL)


def kill_worker(scene: Scene) -> None:
    _send(scene.workers()[:1], signal.SIGKILL)


def freeze_worker(scene: Scene) -> None:
    _freeze(scene.workers()[:1], scene.chance.uniform(0.2, 2))


def freeze_driver(scene: Scene) -> None:
    _freeze(family(scene.driver.pid)[:1], scene.chance.uniform(0.2, 2))


def kill_raylet(scene: Scene) -> None:
    _send(named(family(scene.driver.pid), "raylet"), signal.SIGKILL)


def kill_gcs(scene: Scene) -> None:
    _send(named(family(scene.driver.pid), "gcs_server"), signal.SIGKILL)


def second_driver(scene: Scene) -> None:
    """Somebody types the command again while it runs. Raises: AssertionError when that is not refused in words."""
    other = scene.shop.start(scene.studies, *scene.arguments, "--resume")
    code = other.wait(60)
    if scene.driver.poll() is None:
        assert code == REFUSED, f"a second driver ended with {code}: {other.output()}"
        assert f"a live driver works on this study: pid {scene.driver.pid}" in other.output(), other.output()


def fill_disk(scene: Scene) -> None:
    """Leave no byte free on the file system of the studies until the driver has ended."""
    ballast = scene.studies.parent / _BALLAST
    with ballast.open("ab", buffering=0) as file:
        deadline = time.monotonic() + 60
        while scene.driver.poll() is None and time.monotonic() < deadline:
            try:
                while True:
                    file.write(b"\0" * _PIECE_BYTES)
            except OSError as fault:
                if fault.errno != errno.ENOSPC:
                    raise
            with suppress(OSError):
                while True:
                    file.write(b"\0" * 512)
            time.sleep(0.05)
    ballast.unlink()


def stop_server(scene: Scene) -> None:
    """Stop MLflow's server for some seconds."""
    assert scene.server is not None
    scene.server.stop()
    time.sleep(scene.chance.uniform(0.5, 3))
    scene.server.start()


def copy_studies(scene: Scene) -> None:
    """Go on in a copy of the studies folder; the original goes away."""
    target = _elsewhere(scene)
    shutil.copytree(scene.studies, target, symlinks=True)
    shutil.rmtree(scene.studies)
    scene.studies = target


def move_studies(scene: Scene) -> None:
    target = _elsewhere(scene)
    scene.studies.rename(target)
    scene.studies = target


def _elsewhere(scene: Scene) -> Path:
    """Name a place beside the studies folder that has a blank in it now and then."""
    name = scene.chance.choice(["studies {}", "studies-{}"]).format(scene.chance.randrange(10**6))
    return scene.studies.with_name(name)


def _send(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _freeze(processes: list[psutil.Process], seconds: float) -> None:
    _send(processes, signal.SIGSTOP)
    time.sleep(seconds)
    _send(processes, signal.SIGCONT)


KINDS = {
    "driver killed": Kind(kill_driver),
    "driver asked to stop": Kind(ask_driver),
    "all killed at once": Kind(kill_everything),
    "worker killed": Kind(kill_worker, ends=False),
    "worker frozen": Kind(freeze_worker, ends=False),
    "driver frozen": Kind(freeze_driver, ends=False),
    "second driver": Kind(second_driver, ends=False),
    "raylet killed": Kind(kill_raylet),
    "GCS killed": Kind(kill_gcs),
    "disk full": Kind(fill_disk),
    "MLflow stopped": Kind(stop_server, ends=False),
    "studies copied": Kind(copy_studies, between=True),
    "studies moved": Kind(move_studies, between=True),
}
