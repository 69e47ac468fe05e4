"""What the scheduler tells a worker after a result. No Ray is started."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler
from study_helpers import report
from test_study_slots import ONE_SHAPE, numbers, open_slots

from mer.study.cluster import lost_workers
from mer.study.cluster.lost_workers import LostWorkers
from mer.study.cluster.shared_folder import SharedFolder
from mer.study.cluster.tune_hooks import EngineScheduler, EngineSearcher, Heartbeat
from mer.study.search.slots import Slots

NOBODY = LostWorkers(lambda: False, list, lambda trial: "")  # nothing but a worker ever dies


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
    scheduler = EngineScheduler(slots, shared_folder(slots), NOBODY)
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


def node(name: str, port: int = 0, *, alive: bool = True) -> dict[str, Any]:
    return {"NodeID": name, "Alive": alive, "NodeManagerAddress": "127.0.0.1", "NodeManagerPort": port}


def test_a_loss_counts_where_the_worker_died_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with a study that is stopped, a Ray that is dead, or its node: one whose raylet does not listen is dead."""
    ending, dead, where = [False], [""], ["here"]
    with socket.create_server(("127.0.0.1", 0)) as raylet, socket.create_server(("127.0.0.1", 0)) as closed:
        silent = closed.getsockname()[1]
        closed.close()
        nodes = [node("here", raylet.getsockname()[1]), node("gone", alive=False), node("going", silent)]
        lost = LostWorkers(lambda: ending[0], lambda: nodes, lambda trial: where[0])
        monkeypatch.setattr(lost_workers, "dead_process", lambda: dead[0])
        assert lost.by_itself(None)
        for where[0], counts in (("gone", False), ("going", False), ("", True), ("unknown", True), ("here", True)):
            assert lost.by_itself(None) is counts, where
        ending[0] = True
        assert not lost.by_itself(None)
        ending[0], dead[0] = False, "raylet"
        assert not lost.by_itself(None)


@pytest.mark.parametrize(("began", "by_itself", "losses"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_what_ray_says_of_a_dead_worker_reaches_the_engine_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, began: bool, by_itself: bool, losses: int
) -> None:
    slots, trial = open_slots(tmp_path, monkeypatch), SimpleNamespace(trial_id="a")
    searcher = EngineSearcher(slots)
    lost = LostWorkers(lambda: not by_itself, list, lambda trial: "")
    scheduler, heart = EngineScheduler(slots, shared_folder(slots), lost), Heartbeat(list, list, slots)
    slots.fill("a")
    if began:
        heart.on_trial_start(0, [trial], trial)
    scheduler.on_trial_error(None, trial)
    searcher.on_trial_complete("a", error=True)
    assert slots.engine.losses(0) == losses and numbers(slots.fill("b").members) == [0]
