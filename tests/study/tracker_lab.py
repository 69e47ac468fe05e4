"""A study and its trackers, which write to MLflow on SQLite in this process."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from study_helpers import make_spec, open_ledger, row

from mer.checkpoints import save_tensors
from mer.study.paths import trial_folder
from mer.study.search.ledger import Assignment, Ledger
from mer.study.search.stored_trial import params_of
from mer.study.space.spec import StudySpec
from mer.study.tracking.store import TrackingStore
from mer.study.tracking.tracker import Tracker
from mer.study.tracking.trial_files import DevSplit
from mer.training.member import identity_of

SCORES = (0.3, 0.5, 0.4)
ENVIRONMENT = {"command": "mer tune space.yaml", "git_sha": "abc", "python": "3.11"}


@dataclass
class Search:
    """One study folder, its ledger, and trackers that write about it as drivers do."""

    folder: Path
    spec: StudySpec
    store: TrackingStore
    ledger: Ledger
    told: list[tuple[int, str, Any]] = field(default_factory=list)

    def tracker(self, generation: str = "") -> Tracker:
        dev = DevSplit(("a", "b", "c"), np.array([0, 1, 1]))
        return Tracker(
            self.store, self.spec, self.folder, generation or self.ledger.generation, ENVIRONMENT, dev,
            after_trial=lambda number, outcome, best: self.told.append((number, outcome, best)),
        )  # fmt: skip

    def begin(self, tracker: Tracker) -> Assignment:
        assignment = self.ledger.next_assignment()
        assert assignment is not None
        tracker.trial_started(assignment.number, assignment.params, self.spec.trial_config(assignment.params))
        return assignment

    def write_weights(self, number: int, rows: list[Any]) -> None:
        """The files of a worker: dev scores of a best epoch, and a checkpoint with the history."""
        config = self.spec.trial_config(params_of(self.ledger.trials()[number]))
        card = {"class_names": ["neutral", "joy"], "epoch": 2.0}
        logits = torch.tensor([[2.0, 1.0], [1.0, 2.0], [2.0, 1.0]])
        save_tensors(trial_folder(self.folder, number) / "best.safetensors", {"dev_logits": logits}, card)
        card = {"history": rows, "config_sha256": identity_of(config)}
        save_tensors(trial_folder(self.folder, number) / "last.safetensors", {"w": torch.zeros(1)}, card)

    def end(self, tracker: Tracker, number: int, outcome: Any, best: Any, reason: str = "", last: Any = None) -> None:
        self.ledger.end(number, outcome, best=best, reason=reason, last=last)
        tracker.trial_ended(number, outcome, best, reason)

    def runs(self) -> dict[str, Run]:
        """`mer.trial` -> run, of all generations."""
        client = MlflowClient(self.store.uri)
        experiment = client.get_experiment_by_name(self.spec.study)
        return {run.data.tags["mer.trial"]: run for run in client.search_runs([experiment.experiment_id])}

    def curve(self, run: Run, key: str = "dev_weighted_f1") -> list[tuple[int, float, int]]:
        points = MlflowClient(self.store.uri).get_metric_history(run.info.run_id, key)
        return sorted((point.step, point.value, point.timestamp) for point in points)

    def files(self, run: Run, folder: str = "") -> set[str]:
        return {file.path for file in MlflowClient(self.store.uri).list_artifacts(run.info.run_id, folder)}


@pytest.fixture
def search(tmp_path: Path, empty_store: Path) -> Search:
    studies = tmp_path / "studies"
    (studies / "small").mkdir(parents=True)
    shutil.copy(empty_store, studies / "mlflow.db")
    spec = make_spec(tmp_path, ("study: small", "study: small\ndescription: a small one"))
    return Search(studies / "small", spec, TrackingStore.under(studies, None), open_ledger(studies / "small", spec))


def rows_of(scores: tuple[float, ...] = SCORES, first: int = 1) -> list[Any]:
    return [row(first + index, score, seconds=1.5) for index, score in enumerate(scores)]


def closed(tracker: Tracker, status: str = "FINISHED") -> None:
    assert not tracker.close(status, {"trials": 1.0}, "done")
    assert tracker.errors == []


def die(tracker: Tracker) -> None:
    """As a driver that is killed once MLflow has what was told: its threads stop, and nothing is closed."""
    tracker._queue.put(None)
    tracker._thread.join()
    writer, until = tracker._writer, time.monotonic() + 60
    while (writer._due or writer._stale) and time.monotonic() < until:
        time.sleep(0.02)
    with writer._changed:
        writer._abandoned, writer.patience._next = True, 0.0
        writer._due[-1] = writer._due.get(-1)  # wakes it
        writer._changed.notify()
    writer._thread.join()
