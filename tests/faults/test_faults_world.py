"""The simulated world itself: it repeats itself, its files fail as told, and a process that died changes nothing."""

from __future__ import annotations

import os

import pytest

from benchmarks.faults.case import Size, judge, without_faults
from benchmarks.faults.luck import draw
from benchmarks.faults.picture import differences, picture_of
from benchmarks.faults.world.cluster import Cluster
from benchmarks.faults.world.faults import NoFault, OneFault, Operation, Recorded
from benchmarks.faults.world.files import FileLayer
from benchmarks.faults.world.kinds import ALONE, KINDS
from benchmarks.faults.world.processes import Crash, Process, Running
from benchmarks.faults.world.study import World

SMALL = Size(trials=4, epochs=2)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_study_without_faults_is_whole_and_repeats_itself(kind, tmp_path):
    # far from each other: a study looks around for one that it may be a copy of
    first, operations = without_faults(kind, SMALL, 0, tmp_path / "one/apart/from")
    again, same = without_faults(kind, SMALL, 0, tmp_path / "two/apart/from")
    assert first == again and operations == same
    assert {f"journal/{number}/state" for number in range(4)} <= first.keys()
    assert not any(words == "RUNNING" for key, words in first.items() if key.endswith("/status"))
    assert not any(".tmp" in key or "last.safetensors" in key for key in first)


def test_a_study_that_is_done_is_resumed_without_a_change(tmp_path):
    world = World(tmp_path / "world", ALONE.spec(3, 2), ALONE.nodes)
    assert world.command(NoFault(), resume=False).code == 0
    before = picture_of(world)
    assert world.command(NoFault(), resume=True).code == 0
    assert differences(picture_of(world), before) == {}


def test_differences_are_said():
    found = differences({"a": "1", "b": "2", "d": "4"}, {"a": "1", "b": "3", "c": "5"})
    assert found == {"b": "2, should be 3", "c": "lost (was 5)", "d": "too much: 4"}


def test_the_same_seed_goes_the_same_way(tmp_path):
    told = []
    for place in ("one", "two"):
        drawn = draw(3)
        verdict = judge(drawn.kind, drawn.size, drawn.study_seed, tmp_path / place / "apart/from", drawn.plans)
        told.append((verdict.outcome, verdict.codes, [plan.happened for plan in drawn.plans]))
    assert told[0] == told[1] and any(told[0][2])


class _At:
    """The first operation of a kind fails."""

    def __init__(self, kind: str, fault: str) -> None:
        self.kind, self.name = kind, fault

    def asks(self, domain: str, index: int) -> bool:
        return True

    def fault(self, operation: Operation) -> str:
        if operation.kind != self.kind:
            return ""
        name, self.name = self.name, ""
        return name


@pytest.mark.parametrize(
    ("fault", "left"),
    [("EIO", ""), ("ENOSPC", "ab"), ("crash before", ""), ("crash inside", "ab"), ("crash after", "abcd")],
)
def test_what_a_failed_write_leaves(tmp_path, fault, left):
    running = Running()
    layer = FileLayer(tmp_path, running, _At("write", fault))
    with layer.installed(), pytest.raises((OSError, Crash)), running.inside(Process("driver")):
        with (tmp_path / "a").open("wb", buffering=0) as file:
            file.write(b"abcd"[file.write(b"abcd") :])
        raise AssertionError("nothing was raised")
    assert (tmp_path / "a").read_text() == left


def test_a_dead_process_changes_nothing(tmp_path):
    running, process = Running(), Process("driver")
    layer = FileLayer(tmp_path, running, _At("rename", "crash before"))
    with layer.installed(), pytest.raises(Crash), running.inside(process):
        (tmp_path / "a").write_text("x")
        try:
            (tmp_path / "a").rename(tmp_path / "b")
        finally:
            (tmp_path / "a").unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and not process.alive


def test_outside_the_folder_and_outside_the_world_nothing_fails(tmp_path):
    (tmp_path / "in").mkdir()
    running, recorded = Running(), Recorded()
    layer = FileLayer(tmp_path / "in", running, recorded)
    with layer.installed():
        (tmp_path / "in" / "a").write_text("x")
        with running.inside(Process("driver")):
            (tmp_path / "b").write_text("x")
            (tmp_path / "b").replace(tmp_path / "c")
    assert recorded.operations == [] and os.open.__module__ != FileLayer.__module__


def test_one_fault_hits_one_operation():
    plan = OneFault("file", 3, "EIO")
    operations = [Operation(domain, index, "write", "x", "driver") for domain in ("file", "mlflow") for index in (2, 3)]
    assert [plan.fault(operation) for operation in operations] == ["", "EIO", "", ""]


def test_a_study_that_ends_before_its_work_is_done_says_so(tmp_path, monkeypatch):
    """Whatever ends Ray's loop: trials are left, so the command does not end with 0."""
    world = World(tmp_path / "world", KINDS["alone"].spec(3, 2), (1,))
    loop = Cluster._loop

    def cut_short(self, searcher, scheduler, tick, stop):
        searcher.suggest("ray-0")

    monkeypatch.setattr(Cluster, "_loop", cut_short)
    ended = world.command(NoFault(), resume=False)
    assert ended.code == 2 and ended.message == (
        "Ray has ended before the study was done: the study was stopped\n  next: see whether the machine has room for "
        "Ray, then go on with: python -m mer.tune --trials 3 --resume"
    )
    monkeypatch.setattr(Cluster, "_loop", loop)
    assert world.command(NoFault(), resume=True).code == 0 and world.audit() == []
