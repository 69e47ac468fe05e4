"""What the scheduler tells a worker after a result. No Ray is started."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler
from study_helpers import report
from test_study_slots import ONE_SHAPE, open_slots

from mer.study.cluster.shared_folder import SharedFolder
from mer.study.cluster.tune_hooks import EngineScheduler
from mer.study.search.slots import Slots


class Worker:
    """Notes what is submitted to it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.drop = SimpleNamespace(remote=lambda numbers: self.told.append(("drop", numbers)))
        self.add = SimpleNamespace(remote=lambda tasks: self.told.append(("add", [task["number"] for task in tasks])))


def shared_folder(slots: Slots) -> SharedFolder:
    return SharedFolder(slots.study, slots.engine, slots.say, list)


def test_the_worker_hears_who_leaves_and_who_joins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slots, worker = open_slots(tmp_path, monkeypatch, 2, *ONE_SHAPE), Worker()
    scheduler = EngineScheduler(slots, shared_folder(slots))
    trial = SimpleNamespace(trial_id="a", temporary_state=SimpleNamespace(ray_actor=worker))
    slots.fill("a")

    def result(*reports: Any, **also: Any) -> str:
        return scheduler.on_trial_result(None, trial, {"reports": [one.wire() for one in reports], **also})

    assert result(report(0, [0.5]), fits=None) == TrialScheduler.CONTINUE and worker.told == []
    assert result(report(1, [0.4])) == TrialScheduler.CONTINUE
    assert worker.told == [("drop", [1]), ("add", [2])]
    assert result(report(2, [0.9], "finished")) == TrialScheduler.CONTINUE
    assert worker.told[2:] == [("add", [3])], "who has ended has left by itself"
    assert result(report(0, [0.6], "finished", first=2), report(3, [0.1], "error")) == TrialScheduler.STOP
    assert len(worker.told) == 3, "nothing is sent to a worker whose slot ends"
