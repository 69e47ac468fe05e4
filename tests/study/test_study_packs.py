"""Which trials share a worker: those of one shape; the others wait their turn and are never lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_helpers import message, open_ledger, report
from test_study_slots import ONE_SHAPE, numbers, open_slots, states

from mer.study.search.engine import StudyEngine
from mer.study.search.slots import Change, Slots

TWO_WIDTHS = ("head.hidden: {int: [8, 64]}", "head.hidden: {choice: [32, 64]}")
WIDTHS = [32, 64, 32, 64, 32, 32]  # of trials 0 to 5


@pytest.fixture
def slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slots:
    """A study of 6 trials of two shapes, in packs of 2."""
    points = "".join(f"  - {{optim.head_lr: {n + 1}e-3, head.hidden: {width}}}\n" for n, width in enumerate(WIDTHS))
    return open_slots(tmp_path, monkeypatch, 2, TWO_WIDTHS, ("  - {optim.head_lr: 1e-3, head.hidden: 32}\n", points))


def test_a_slot_hosts_one_shape_and_the_others_wait(slots):
    assert numbers(slots.fill("a").members) == [0, 2]
    assert [waiting.number for waiting in slots.packs.queue] == [1]
    assert states(slots) == dict.fromkeys(range(3), "RUNNING"), "who waits has a number, and no rows"
    assert numbers(slots.fill("b").members) == [1, 3]
    assert numbers(slots.fill("c").members) == [4, 5]
    assert slots.fill("d") is None and not slots.engine.over


def test_nothing_is_asked_before_a_place_is_free(slots):
    slots.fill("a")
    assert len(states(slots)) == 3
    assert slots.record("a", [report(0, [0.5])]) == Change()
    assert len(states(slots)) == 3


def test_a_free_place_goes_to_the_next_of_the_shape_while_the_queue_has_room(slots):
    slots.fill("a")  # trials 0 and 2; 1 waits
    assert slots.record("a", [report(0, [0.5], "finished")]) == Change(), "3 is of the other shape, and now waits too"
    assert [waiting.number for waiting in slots.packs.queue] == [1, 3]
    assert slots.record("a", [report(2, [0.5])]) == Change(), "no room in the queue: nothing more is asked"
    assert len(states(slots)) == 4
    assert numbers(slots.fill("b").members) == [1, 3]
    assert numbers(slots.record("a", [report(2, [0.6], first=2)]).add) == [4]
    assert numbers(slots.record("a", [report(4, [0.6], "finished")]).add) == [5]


def test_a_free_place_is_filled_from_the_queue_first(slots):
    slots.fill("a"), slots.fill("b")  # 0 and 2, 1 and 3
    slots.close("a", lost=False)
    slots.packs.queue = slots.packs.start()  # as if they had been asked for a slot of the other shape
    assert slots.record("b", [report(1, [0.5], "finished")]) == Change()
    assert numbers(slots.fill("c").members) == [0, 2]
    slots.packs.queue = [slots.packs._ask()]
    assert numbers(slots.record("c", [report(0, [0.5], "finished")]).add) == [4]
    assert states(slots)[5 - 1] == "RUNNING" and len(states(slots)) == 5


def test_whoever_waits_when_the_driver_dies_is_handed_out_again(slots, tmp_path, monkeypatch):
    slots.fill("a")
    del slots
    points = "".join(f"  - {{optim.head_lr: {n + 1}e-3, head.hidden: {width}}}\n" for n, width in enumerate(WIDTHS))
    again = open_slots(tmp_path, monkeypatch, 3, TWO_WIDTHS, ("  - {optim.head_lr: 1e-3, head.hidden: 32}\n", points))
    assert numbers(again.fill("a").members) == [0, 2, 4]
    assert numbers(again.fill("b").members) == [1, 3]


def test_a_slot_that_is_given_back_is_handed_out_in_new_ones(slots):
    slots.fill("a")
    slots.close("a", lost=False)
    assert numbers(slots.fill("b").members) == [1], "who waited longest is first, and the queue is full"
    assert numbers(slots.fill("c").members) == [0, 2]


def test_what_cannot_be_packed_is_a_slot_of_one(tmp_path, monkeypatch):
    curriculum = ("{contrastive: {kind: spcl}}", "{contrastive: {kind: spcl, curriculum: true}}")
    slots = open_slots(tmp_path, monkeypatch, 4, curriculum)
    assert numbers(slots.fill("a").members) == [0]
    assert slots.record("a", [report(0, [0.5])]) == Change()
    assert numbers(slots.fill("b").members) == [1]


def test_memory_that_was_too_little_makes_later_packs_smaller(tmp_path, monkeypatch):
    slots = open_slots(tmp_path, monkeypatch, 4, *ONE_SHAPE)
    said: list[str] = []
    slots.say = said.append
    assert numbers(slots.fill("a").members) == [0, 1, 2, 3]
    for _ in range(2):
        assert slots.record("a", [], fits=2) == Change()
    assert len(said) == 1 and "memory holds 2 trials" in said[0]
    assert slots.record("a", [report(0, [0.5], "finished"), report(1, [0.5], "finished")], fits=2) == Change()
    assert numbers(slots.fill("b").members) == [4, 5]


@pytest.mark.parametrize("pack", ["0", "513", "true", "2.0", "many"])
def test_a_pack_is_auto_or_a_number(tmp_path, pack):
    told = message(tmp_path, ("fixed:\n", f"resources: {{pack: {pack}}}\nfixed:\n"))
    assert "FILE:7: resources.pack: got " in told and "auto, or a whole number from 1 to 512" in told


def test_what_is_left_is_counted_without_reading_the_study(slots, tmp_path, monkeypatch):
    engine = slots.engine
    assert engine.unfinished == 6
    slots.fill("a")
    assert engine.unfinished == 6
    slots.record("a", [report(0, [0.5], "finished"), report(2, [0.5], "error")])
    assert engine.unfinished == 4
    monkeypatch.setattr(type(engine.ledger), "trials", None)
    assert engine.unfinished == 4
    monkeypatch.undo()
    again = StudyEngine(engine.spec, open_ledger(tmp_path / "small", engine.spec), engine.policy)
    assert again.unfinished == 4
