"""A small real study, run as a user runs it: in its own process, through the command.

Processes that have imported everything fork the commands (`benchmarks.kills.fork_server`) and the workers of their Ray
(`benchmarks.kills.worker_fork`). The study that others are compared with is typed: its Ray starts its workers itself.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kills.commands import Running, Starter, typed
from benchmarks.kills.fork_server import ForkServer
from benchmarks.kills.snapshot import histories, journal_lines, optuna_trials
from benchmarks.kills.worker_fork import ForkedWorkers
from benchmarks.kills.workshop import Workshop, begin_with, make_workshop
from mer.study.tracking.store import create_database

__all__ = ["Commands", "Workshop", "begin_with", "histories", "journal_lines", "optuna_trials", "records", "wait_until"]


class Commands:
    """Commands that are started in a folder of their own."""

    home: Path
    starter: Starter = staticmethod(typed)

    def start(self, module: str, *arguments: str) -> Running:
        return self.starter(module, arguments, cwd=self.home, environment=os.environ, own_group=False)

    def run(self, module: str, *arguments: str, code: int = 0) -> str:
        process = self.start(module, *arguments)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == code, output
        assert "Traceback" not in output
        return output


@pytest.fixture(scope="session")
def forked_workers() -> Iterator[ForkedWorkers]:
    with ForkedWorkers() as workers:
        yield workers


@pytest.fixture(scope="session")
def forks(forked_workers: ForkedWorkers) -> Iterator[ForkServer]:
    server = ForkServer(os.environ, forked_workers.python)
    yield server
    server.close()


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that one process of a test run makes, and all others find. Args: make: fills an empty folder."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, done = base / name, base / f"{name}.made"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow's, with which folders of studies may begin (`begin_with`)."""
    folder = made_once(
        tmp_path_factory, "database", lambda folder: create_database(f"sqlite:///{folder / 'mlflow.db'}")
    )
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer, database: Path) -> Workshop:
    home = made_once(tmp_path_factory, "workshop", make_workshop)
    return replace(Workshop.at(home, forks), database=database)


@pytest.fixture(scope="session")
def uninterrupted(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference: the study typed and run in one go. Returns the studies folder, which nobody may change."""

    def run(studies: Path) -> None:
        output = replace(workshop, starter=typed, database=None).run(studies)
        (studies / "output.txt").write_text(output)

    return made_once(tmp_path_factory, "uninterrupted", run)


def records(studies: Path, experiment: str) -> tuple[list[Any], list[Any]]:
    """(parent runs, child runs) of one experiment in the studies' MLflow store."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{studies.resolve()}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id], max_results=1000)
    return [r for r in runs if r.data.tags["mer.trial"] == "study"], [
        r for r in runs if r.data.tags["mer.trial"] != "study"
    ]


def metric_steps(studies: Path, run_id: str, key: str) -> list[int]:
    from mlflow import MlflowClient

    history = MlflowClient(f"sqlite:///{studies.resolve()}/mlflow.db").get_metric_history(run_id, key)
    return sorted(point.step for point in history)


def wait_until(condition: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
