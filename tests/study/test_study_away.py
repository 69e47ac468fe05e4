"""MLflow's real stores go away and come back: a locked database, a server that is killed, hangs, starts again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_helpers import make_spec, open_ledger, row
from tracker_lab import ENVIRONMENT

from mer.study.tracking import writer
from mer.study.tracking.command import open_runs
from mer.study.tracking.differences import differences
from mer.study.tracking.from_disk import StudyOnDisk
from mer.study.tracking.outbox import Outbox
from mer.study.tracking.store import TrackingStore
from mer.study.tracking.sync import sync_study
from mer.study.tracking.tracker import Tracker
from mer.study.tracking.trial_files import DevSplit

pytestmark = pytest.mark.slow


class Study:
    """A study whose trials fail at once, after some rows: enough to be recorded."""

    def __init__(self, place: Path, uri: str | None) -> None:
        self.folder = place / "studies/small"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.spec = make_spec(place)
        self.store = TrackingStore.under(place / "studies", uri)
        self.ledger = open_ledger(self.folder, self.spec)
        (self.folder / "space.json").write_text('{"study": "small"}')
        self.said: list[str] = []

    def tracker(self) -> Tracker:
        dev = DevSplit(("a",), np.array([0]))
        return Tracker(
            self.store, self.spec, self.folder, self.ledger.generation, ENVIRONMENT, dev, say=self.said.append
        )

    def run_trial(self, tracker: Tracker) -> None:
        assignment = self.ledger.next_assignment()
        assert assignment is not None
        tracker.trial_started(assignment.number, assignment.params, self.spec.trial_config(assignment.params))
        tracker.trial_rows(assignment.number, [row(epoch, 0.1 * epoch) for epoch in range(1, 4)])
        self.ledger.end(assignment.number, "error", best=None, reason="out of luck")
        tracker.trial_ended(assignment.number, "error", None, "out of luck")

    def sync(self) -> Any:
        disk, outbox = StudyOnDisk.read(self.folder), Outbox(self.folder)
        done = sync_study(disk, outbox, open_runs(self.store, disk))
        runs = open_runs(self.store, disk)
        assert [words for one in differences(disk, runs) for words in one.words] == []
        assert "RUNNING" not in {run.status for run in runs.find()}
        return done


def wait_for(tracker: Tracker, written: int) -> None:
    """Wait until MLflow has confirmed so many trials."""
    until = time.monotonic() + 60
    while len([trial for trial in tracker._outbox.confirmed if trial != "study"]) < written:
        assert time.monotonic() < until, tracker._writer.patience.cause
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study's end waits for MLflow for 3 seconds instead of 8."""
    monkeypatch.setattr(writer, "_PATIENCE_S", 3.0)


def test_a_reader_that_keeps_the_database_locked_does_not_keep_a_study(tmp_path: Path, empty_store: Path) -> None:
    study = Study(tmp_path, None)
    shutil.copy(empty_store, tmp_path / "studies/mlflow.db")
    tracker = study.tracker()
    tracker.start([])
    study.run_trial(tracker)
    wait_for(tracker, 1)
    reader = sqlite3.connect(tmp_path / "studies/mlflow.db", isolation_level=None)
    reader.execute("begin exclusive")
    for _ in range(2):
        study.run_trial(tracker)
    asked = time.monotonic()
    behind = tracker.close("FINISHED", {}, "note")
    assert time.monotonic() - asked < 5
    assert behind.trials == (1, 2) and behind.study
    reader.execute("rollback")
    reader.close()
    tracker._writer._thread.join()  # in a command it ends with the process
    done = study.sync()
    assert done.trials == 3 and done.left == {}


class Server:
    """MLflow's own server, which can be stopped (it hangs) and killed."""

    def __init__(self, place: Path, port: int) -> None:
        self.place, self.port, self.uri = place, port, f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        options += ["--artifacts-destination", str(self.place / "files")]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment |= {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{self.place}/mlflow.db"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *options],
            env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return
            except OSError:
                assert time.monotonic() < until, "the server never answered"
                time.sleep(0.2)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait()


@pytest.fixture
def server(tmp_path: Path, empty_store: Path) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    made = Server(tmp_path, port)
    made.start()
    yield made
    made.send(signal.SIGKILL)


@pytest.mark.faults
def test_a_server_that_hangs_and_is_killed_and_comes_back_has_everything(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    study = Study(tmp_path, server.uri)
    tracker = study.tracker()
    tracker.start([])
    study.run_trial(tracker)
    wait_for(tracker, 1)
    server.send(signal.SIGSTOP)
    study.run_trial(tracker)
    time.sleep(3)
    server.send(signal.SIGCONT)
    wait_for(tracker, 2)
    server.send(signal.SIGKILL)
    study.run_trial(tracker)
    time.sleep(2)
    assert len(study.said) == 1 and study.said[0].startswith("note: MLflow takes no records just now (")
    server.start()
    wait_for(tracker, 3)
    server.send(signal.SIGKILL)
    study.run_trial(tracker)
    asked = time.monotonic()
    behind = tracker.close("FINISHED", {"best": 0.3}, "note")
    assert time.monotonic() - asked < 5 and behind.trials == (3,) and behind.study
    server.start()
    done = study.sync()
    assert done.trials == 4 and list(done.written) == [3] and done.left == {}
    again = study.sync()
    assert (again.written, again.extra) == ({}, 0)
