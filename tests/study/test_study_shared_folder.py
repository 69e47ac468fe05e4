"""A node that does not see the study's folder is left out by name; the study stops when no other is left."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune import PlacementGroupFactory
from ray.tune.schedulers import TrialScheduler
from ray.tune.utils import flatten_dict
from test_study_hooks import NOBODY
from test_study_slots import numbers, open_slots

from mer import io_faults
from mer.errors import MerError
from mer.study.cluster.shared_folder import SharedFolder
from mer.study.cluster.tune_hooks import EngineScheduler
from mer.study.search.slots import Slots
from trainables import base, proof
from trainables.proof import PROOF, Proof, Sight
from trainables.wire import Slot

HERE = SimpleNamespace(get_node_id=lambda: "one", get_worker_id=lambda: "w")


def node(name: str, cpus: float = 4, alive: bool = True) -> dict[str, Any]:
    return {"NodeID": name, "Alive": alive, "Resources": {"CPU": cpus}}


def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *nodes: dict[str, Any]) -> tuple[Slots, SharedFolder]:
    monkeypatch.setattr(proof, "_PAUSES_S", ())
    slots = open_slots(tmp_path, monkeypatch)
    said: list[str] = []
    slots.say = said.append
    shared = SharedFolder(slots.study, slots.engine, slots.say, lambda: list(nodes))
    slots.proof = shared.proof
    return slots, shared


def seen_from(folder: Path, asked: Proof, answer: str = "answer-1") -> Sight:
    """What a worker says whose study's folder is this one."""
    there = replace(asked, folder=str(folder / PROOF))
    return Sight("one", "gpu1 (10.0.0.1)", answer, there.answer(answer))


def test_a_node_that_sees_the_folder_is_accepted(tmp_path, monkeypatch):
    slots, shared = opened(tmp_path, monkeypatch, node("one"))
    slot = slots.fill("a")
    assert Slot.read(slot.wire()).proof == shared.proof
    sight = seen_from(tmp_path / "small", shared.proof)
    assert sight.fault == "" and shared.accepts(Sight.read(sight.wire()).wire())
    assert shared.selector is None


def test_a_folder_of_the_same_name_on_another_disk_is_found(tmp_path, monkeypatch):
    _, shared = opened(tmp_path, monkeypatch)
    elsewhere = tmp_path / "elsewhere/small"
    assert seen_from(elsewhere, shared.proof).fault == f"{elsewhere} is not there"
    elsewhere.mkdir(parents=True)
    assert seen_from(elsewhere, shared.proof).fault == f"{elsewhere} is another folder there"
    Proof.begin(elsewhere, "of an earlier run")
    assert seen_from(elsewhere, shared.proof).fault == f"{elsewhere} is that of another driver there"


def test_a_mount_that_cannot_be_written_is_found(tmp_path, monkeypatch):
    _, shared = opened(tmp_path, monkeypatch)

    def refused(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system", str(self))

    with monkeypatch.context() as mounted:
        mounted.setattr(Path, "write_text", refused)
        fault = seen_from(tmp_path / "small", shared.proof).fault
    assert fault == f"{tmp_path}/small/.proof/answer-1: Read-only file system"


def test_its_trials_go_elsewhere_and_no_worker_is_placed_there_again(tmp_path, monkeypatch):
    slots, shared = opened(
        tmp_path, monkeypatch, node("one"), node("two"), node("small", cpus=1), node("off", alive=False)
    )
    said: list[str] = []
    shared.say = said.append
    scheduler = EngineScheduler(slots, shared, NOBODY)
    placed: list[PlacementGroupFactory] = []
    trial = SimpleNamespace(
        trial_id="a", placement_group_factory=PlacementGroupFactory([{"CPU": 2}]), update_resources=placed.append
    )
    slots.fill("a")
    scheduler.on_trial_add(None, trial)
    assert placed == [], "nobody was refused"
    result = flatten_dict(
        {"reports": [], "fits": None, "sights": [seen_from(tmp_path / "nowhere", shared.proof).wire()]}
    )
    assert scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP
    assert said == [f"node gpu1 (10.0.0.1) is left out: {tmp_path}/nowhere is not there"]
    assert slots.engine.losses(0) == 0 and not slots.engine.stopped and numbers(slots.fill("b").members) == [0]
    scheduler.on_trial_add(None, trial)
    assert placed == [PlacementGroupFactory([{"CPU": 2}], bundle_label_selector=[{"ray.io/node-id": "!in(one)"}])]
    scheduler.on_trial_result(None, trial, result)
    assert len(said) == 1


def test_one_message_when_no_node_is_left(tmp_path, monkeypatch):
    slots, shared = opened(tmp_path, monkeypatch, node("one"), node("small", cpus=1), node("off", alive=False))
    slots.fill("a")
    assert not shared.accepts(seen_from(tmp_path / "nowhere", shared.proof).wire())
    assert slots.engine.stopped and slots.fill("b") is None
    with pytest.raises(MerError) as refused:
        slots.engine.raise_if_stopped("again --resume", "again --fresh", tmp_path)
    assert str(refused.value) == (
        f"no node sees the study's folder {tmp_path}/small: gpu1 (10.0.0.1): {tmp_path}/nowhere is not there: "
        "the study was stopped\n  next: mount one folder at the same path on all nodes and name it with --studies, "
        "then go on with: again --resume"
    )


def test_an_answer_that_does_not_arrive_is_a_refusal(tmp_path, monkeypatch):
    _, shared = opened(tmp_path, monkeypatch, node("one"), node("two"))
    elsewhere = tmp_path / "elsewhere/small"
    shutil.copytree(tmp_path / "small" / PROOF, elsewhere / PROOF)
    sight = seen_from(elsewhere, shared.proof)
    assert sight.fault == "" and not shared.accepts(sight.wire())
    assert "does not arrive here" in shared.refused["one"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_a_full_disk_is_not_told_as_another_folder(tmp_path, monkeypatch, number):
    """The worker of a slot meets it when it writes its answer: the study stops with the machine's own words."""
    monkeypatch.setattr(io_faults.patiently, "__defaults__", ((),))
    slots, shared = opened(tmp_path, monkeypatch, node("one"), node("two"))
    monkeypatch.setattr(base.ray, "get_runtime_context", lambda: HERE)
    monkeypatch.setattr(base.ray.util, "get_node_ip_address", lambda: "10.0.0.1")
    monkeypatch.setattr(base.socket, "gethostname", lambda: "gpu1")

    def refused(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number), str(self))

    worker = object.__new__(base.MerTrainable)
    worker.slot = Slot.read(slots.fill("a").wire())
    worker.members = SimpleNamespace(most=None)  # nobody may ask it to train
    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", refused)
        (sight,) = worker.step()["sights"]
    assert not shared.accepts(sight) and shared.refused == {}
    assert slots.engine.halt.blocked == f"gpu1 (10.0.0.1): {tmp_path}/small/.proof/answer-w: {os.strerror(number)}"


@pytest.mark.parametrize(("times", "accepted"), [(2, True), (9, False)])
def test_the_driver_is_patient_with_a_stale_handle(tmp_path, monkeypatch, times, accepted):
    slots, shared = opened(tmp_path, monkeypatch, node("one"))
    monkeypatch.setattr(proof, "_PAUSES_S", (0.0, 0.0, 0.0))
    sight, read, left = seen_from(tmp_path / "small", shared.proof), Path.read_text, [times]

    def stale(self: Path, *args: Any, **named: Any) -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(self))
        return read(self, *args, **named)

    with monkeypatch.context() as far:
        far.setattr(Path, "read_text", stale)
        assert shared.accepts(sight.wire()) is accepted
    assert shared.refused == {} and slots.engine.stopped is not accepted
    assert accepted or slots.engine.halt.blocked == f"{tmp_path}/small/.proof/answer-1: Stale file handle"
