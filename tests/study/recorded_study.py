"""A small study with trials that end in four ways, recorded in an MLflow that a test makes up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from fake_runs import FakeMLflow, FakeRuns
from study_helpers import make_spec, open_ledger, row

from mer.checkpoints import save_tensors
from mer.study.folder.standings import standing_of
from mer.study.paths import trial_folder
from mer.study.tracking.differences import differences
from mer.study.tracking.from_disk import StudyOnDisk
from mer.study.tracking.outbox import Outbox
from mer.study.tracking.store import TrackingStore
from mer.study.tracking.sync import Synced, sync_study
from mer.study.tracking.tracker import Tracker
from mer.study.tracking.trial_files import DevSplit
from mer.study.tracking.writer import Behind
from mer.training.member import identity_of

ENVIRONMENT = {"command": "mer tune space.yaml", "git_sha": "abc"}


class Search:
    """A study of four trials that end in four ways, run by a driver that ends in order."""

    def __init__(self, place: Path) -> None:
        self.folder = place / "studies/small"
        self.folder.mkdir(parents=True)
        self.spec = make_spec(place, ("study: small", "study: small\ndescription: a small one"))
        self.ledger = open_ledger(self.folder, self.spec)
        (self.folder / "space.json").write_text('{"study": "small", "description": "a small one"}')
        self.said: list[str] = []
        self.behind = Behind()

    def tracker(self, mlflow: FakeMLflow) -> Tracker:
        return Tracker(
            TrackingStore("http://ann:secret@host:1/", None), self.spec, self.folder, self.ledger.generation,
            ENVIRONMENT, DevSplit(("a", "b", "c"), np.array([0, 1, 1])), say=self.said.append, open_runs=mlflow.open,
        )  # fmt: skip

    def run(self, mlflow: FakeMLflow, *, refused: int = 0) -> Behind:
        """Trials 0 finished, 1 cut, 2 failed, 3 interrupted. Args: refused: so often a trial's files are refused."""
        tracker = self.tracker(mlflow)
        tracker.start(self.ledger.trials())
        rows = [row(epoch, score, seconds=1.0) for epoch, score in enumerate((0.3, 0.5, float("nan")), 1)]
        for number in range(4):
            assignment = self.ledger.next_assignment()
            assert assignment is not None and assignment.number == number
            tracker.trial_started(number, assignment.params, self.spec.trial_config(assignment.params))
            if number != 2:
                self.worker_saves(number, rows, identity_of(self.spec.trial_config(assignment.params)))
            for one in {0: rows, 1: rows[:2], 2: [], 3: rows[:2]}[number]:
                tracker.trial_rows(number, [one])
        self._end(tracker, 0, "finished", rows[1])
        self._end(tracker, 1, "cut", rows[1], last=(2, 0.5))
        self._end(tracker, 2, "error", None, "out of luck")
        behind = tracker.close("KILLED", {"best": 0.5}, "**note**", [standing_of(self.ledger.trials()[0])])
        assert len(tracker.errors) == refused, tracker.errors
        tracker._writer._thread.join(10)  # in a command it ends with the process
        return behind

    def worker_saves(self, number: int, rows: list[Any], config: str) -> None:
        folder = trial_folder(self.folder, number)
        logits = torch.tensor([[2.0, 1.0], [1.0, 2.0], [2.0, 1.0]])
        save_tensors(folder / "best.safetensors", {"dev_logits": logits}, {"class_names": ["n", "j"], "epoch": 2.0})
        save_tensors(folder / "last.safetensors", {"w": torch.zeros(1)}, {"history": rows, "config_sha256": config})

    def resume(self, mlflow: FakeMLflow) -> Tracker:
        """A driver that goes on and finds no work; it draws what is not drawn yet."""
        self.ledger = open_ledger(self.folder, self.spec)
        tracker = self.tracker(mlflow)
        tracker.start(self.ledger.trials())
        self.behind = tracker.close("KILLED", {"best": 0.5}, "**note**", [standing_of(self.ledger.trials()[0])])
        tracker._writer._thread.join(10)
        return tracker

    def _end(self, tracker: Tracker, number: int, outcome: Any, best: Any, reason: str = "", last: Any = None) -> None:
        self.ledger.end(number, outcome, best=best, reason=reason, last=last)
        tracker.trial_ended(number, outcome, best, reason)

    def sync(self, mlflow: FakeMLflow, **how: Any) -> Synced:
        runs: Any = FakeRuns(mlflow, self.ledger.generation)
        return sync_study(StudyOnDisk.read(self.folder), Outbox(self.folder), runs, **how)

    def words(self, mlflow: FakeMLflow) -> list[str]:
        runs: Any = FakeRuns(mlflow, self.ledger.generation)
        return [words for one in differences(StudyOnDisk.read(self.folder), runs) for words in one.words]


def content(mlflow: FakeMLflow) -> dict[str, Any]:
    """Of every trial its one run. Generations differ between searches."""
    found = {}
    for trial, runs in mlflow.trials().items():
        assert len(runs) == 1, f"{len(runs)} runs of trial {trial}"
        status, tags, *rest = runs[0].content()
        tags = {key: value for key, value in tags.items() if key not in ("mer.generation", "mer.digest")}
        params, points, *others = rest
        values = {place: [repr(float(value)) for value in values] for place, values in points.items()}  # NaN equals NaN
        found[trial] = status, tags, params, values, *others
    return found
