"""Slots and their members: what a worker gets to know, whose verdict a report brings, what a dead worker costs."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from study_helpers import make_spec, open_ledger, report

from mer.checkpoints import save_tensors
from mer.errors import MerError
from mer.study.search import lacking_files, stop_request
from mer.study.search.early_stopping import build_policy
from mer.study.search.engine import StudyEngine
from mer.study.search.slots import REPORT_INTERVAL_S, Change, Slots
from mer.study.search.stop_request import StopSignal
from trainables.trial_files import BEST, LAST
from trainables.wire import MemberTask, Report, Slot

FEATURES = {"text": {"train": "a.safetensors", "dev": "b.safetensors"}}


def open_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: int = 1, *changes: tuple[str, str]) -> Slots:
    """A study of 6 trials that judges at epochs 1 and 3, in a folder named from the working directory."""
    monkeypatch.chdir(tmp_path)
    asha = ("scheduler: {kind: none}", "scheduler: {kind: asha, grace_epochs: 1, reduction: 3}")
    spec = make_spec(tmp_path, asha, *changes, overrides=("budget.trials=6", "resources.cpu=2"))
    ledger = open_ledger(tmp_path / "small", spec)
    engine = StudyEngine(spec, ledger, build_policy(spec.budget, spec.scheduler))
    return Slots(engine, Path("small"), lambda config: FEATURES, lambda config: pack)


ONE_SHAPE = (
    ("head.hidden: {int: [8, 64]}", "head.dropout: {float: [0.0, 0.5]}"),
    ("head.hidden: 32}", "head.dropout: 0.1}"),
)


def numbers(tasks: Iterable[MemberTask]) -> list[int]:
    return [task.number for task in tasks]


def die(slots: Slots, slot_id: str) -> None:
    """The worker of a slot begins with it, and dies by itself."""
    slots.begun(slot_id)
    slots.close(slot_id, lost=True)


def states(slots: Slots) -> dict[int, str]:
    return {trial.number: trial.state.name for trial in slots.engine.ledger.trials() if trial.state.name != "WAITING"}


@pytest.fixture
def slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slots:
    return open_slots(tmp_path, monkeypatch)


def test_a_worker_gets_to_know_its_trial_and_nothing_of_the_study(slots, tmp_path):
    slot = slots.fill("a")
    assert slot is not None and (slot.report_interval_s, slot.threads, slot.device) == (REPORT_INTERVAL_S, 2, "cpu")
    (task,) = slot.members
    assert (task.number, task.folder, task.features) == (0, tmp_path.resolve() / "small/trials/00000", FEATURES)
    assert task.decision_epochs == (1, 3)
    config = task.trial_config()
    assert (config.optim.head_lr, config.head.hidden) == (1e-3, 32)  # the point of the small study


def test_the_wire_is_json_and_ignores_what_ray_adds(slots):
    slot = slots.fill("a")
    assert slot is not None
    wire = json.loads(json.dumps(slot.wire()))
    assert Slot.read({**wire, "__trial_info__": 1}) == slot
    assert Report(**json.loads(json.dumps(report(0, [0.5]).wire()))) == report(0, [0.5])


def test_ray_keeps_little_of_a_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Ray holds what it was handed for as long as the study runs, and goes through every entry of it."""
    slot = open_slots(tmp_path, monkeypatch, 6, *ONE_SHAPE).fill("a")
    assert slot is not None and len(slot.members) == 6
    wire = slot.wire()
    assert set(wire) == {"number", "slot"} and wire["number"] == 0
    assert len(wire["slot"]) < len(json.dumps([task.wire() for task in slot.members])) / 4


def test_a_slot_is_over_when_its_last_member_is(tmp_path, monkeypatch):
    """Two members in one slot: each verdict is for one number. Trial 1 is cut at epoch 1, trial 0 goes on."""
    slots = open_slots(tmp_path, monkeypatch, 2, *ONE_SHAPE)
    assert numbers(slots.fill("a").members) == [0, 1]
    assert slots.record("a", [report(0, [0.5])]) == Change()
    change = slots.record("a", [report(1, [0.4]), report(0, [0.6], first=2)])
    assert (change.drop, numbers(change.add), change.is_over) == ((1,), [2], False)
    assert states(slots) == {0: "RUNNING", 1: "PRUNED", 2: "RUNNING"}
    change = slots.record("a", [report(2, [0.3], "error"), report(0, [0.7], "finished", first=3)])
    assert change == Change(is_over=True), "a slot that is empty ends: the next one may be of another shape"
    assert slots.engine.ledger.trials()[0].value == 0.7


def test_a_dead_worker_costs_no_member_its_number(tmp_path, monkeypatch):
    slots = open_slots(tmp_path, monkeypatch, 2, *ONE_SHAPE)
    slots.fill("a"), slots.fill("b")
    assert numbers(slots.record("a", [report(1, [0.9], "finished")]).add) == [4]
    die(slots, "a")
    assert [numbers(slots.fill(slot).members) for slot in "de"] == [[0], [4]], "1 had finished, 2 and 3 are elsewhere"
    slots.close("b", lost=False)
    assert numbers(slots.fill("f").members) == [2, 3], "given back, not lost"
    assert [slots.engine.losses(number) for number in (0, 2, 3, 4)] == [0, 0, 0, 0]
    assert numbers(slots.fill("g").members) == [5]


def took(seconds: float, *reports: Report) -> list[Report]:
    """The same reports, with epochs that took so long."""
    for one in reports:
        for line in one.rows:
            line["seconds"] = seconds
    return list(reports)


def near_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float) -> Slots:
    """Slot a has trials 0 to 3 with so long epochs, slot b none any more, and nothing is left to hand out."""
    slots = open_slots(tmp_path, monkeypatch, 4, *ONE_SHAPE)
    assert (numbers(slots.fill("a").members), numbers(slots.fill("b").members)) == ([0, 1, 2, 3], [4, 5])
    slots.record("a", took(seconds, *(report(number, [0.9]) for number in range(4))))
    slots.record("b", [report(4, [0.1], "finished")])
    return slots


def test_an_idle_worker_takes_half_of_another_s_members(tmp_path, monkeypatch):
    slots = near_the_end(tmp_path, monkeypatch, seconds=2.0)
    assert slots.record("b", [report(5, [0.1], "finished")]) == Change(), "it stays: slot a has members to give"
    assert slots.record("b", []) == Change()
    running = sorted(slots.hosted["a"].numbers)
    given = slots.record("a", took(2.0, *(report(number, [0.91], first=2) for number in running)))
    assert not given.is_over and not given.add and len(given.drop) == len(running) // 2
    taken = slots.record("b", [])
    assert tuple(numbers(taken.add)) == given.drop and not taken.is_over
    assert sorted([*slots.hosted["a"].numbers, *slots.hosted["b"].numbers]) == running
    assert slots.record("b", [report(number, [0.9, 0.91, 0.92]) for number in given.drop]) == Change()
    assert set(states(slots).values()) == {"RUNNING", "COMPLETE", "PRUNED"} - (
        {"PRUNED"} if len(running) == 4 else set()
    )


def test_an_idle_worker_takes_no_more_than_memory_was_found_to_hold(tmp_path, monkeypatch):
    slots = near_the_end(tmp_path, monkeypatch, seconds=2.0)
    running = sorted(slots.hosted["a"].numbers)
    assert len(running) // 2 > 1
    slots.record("a", [], fits=1)
    slots.record("b", [report(5, [0.1], "finished")])
    given = slots.record("a", took(2.0, *(report(number, [0.91], first=2) for number in running)))
    assert len(given.drop) == 1 and numbers(slots.record("b", []).add) == list(given.drop)


def test_a_worker_whose_members_end_together_stays_though_nobody_asked_for_more(tmp_path, monkeypatch):
    """The last pack took exactly the last trials: no later question has shown that there are no more."""
    slots = open_slots(tmp_path, monkeypatch, 3, *ONE_SHAPE)
    assert (numbers(slots.fill("a").members), numbers(slots.fill("b").members)) == ([0, 1, 2], [3, 4, 5])
    slots.record("a", took(2.0, *(report(number, [0.9]) for number in range(3))))
    assert slots.record("b", [report(number, [0.1], "finished") for number in (3, 4, 5)]) == Change()


def test_a_worker_waits_for_the_first_word_of_another(tmp_path, monkeypatch):
    """Slot a has begun its last pack just now: how long its epochs take, nobody knows yet."""
    slots = open_slots(tmp_path, monkeypatch, 3, *ONE_SHAPE)
    slots.fill("a"), slots.fill("b")
    assert slots.record("b", [report(number, [0.1], "finished") for number in (3, 4, 5)]) == Change()
    given = slots.record("a", took(2.0, *(report(number, [0.9]) for number in range(3))))
    assert given.drop == (0,) and numbers(slots.record("b", []).add) == [0]


def test_members_that_a_worker_had_no_memory_for_move_first(tmp_path, monkeypatch):
    slots = open_slots(tmp_path, monkeypatch, 3, *ONE_SHAPE)
    slots.fill("a"), slots.fill("b")
    slots.record("b", [report(number, [0.1], "finished") for number in (3, 4, 5)])
    given = slots.record("a", took(2.0, *(report(number, [0.9]) for number in range(2))), fits=2)
    assert given.drop == (2,), "it has trained nothing yet"


def test_what_is_sooner_done_than_moved_stays(tmp_path, monkeypatch):
    slots = near_the_end(tmp_path, monkeypatch, seconds=0.01)
    assert slots.record("b", [report(5, [0.1], "finished")]).is_over


def test_an_idle_worker_ends_when_nothing_can_come_any_more(tmp_path, monkeypatch):
    slots = near_the_end(tmp_path, monkeypatch, seconds=2.0)
    assert slots.record("b", [report(5, [0.1], "finished")]) == Change()
    running = sorted(slots.hosted["a"].numbers)
    slots.record("a", [report(number, [0.9], "finished", first=2) for number in running])
    assert slots.record("b", []).is_over


def test_members_on_their_way_to_a_worker_that_dies_are_handed_out_again(tmp_path, monkeypatch):
    slots = near_the_end(tmp_path, monkeypatch, seconds=2.0)
    slots.record("b", [report(5, [0.1], "finished")])
    running = sorted(slots.hosted["a"].numbers)
    given = slots.record("a", took(2.0, *(report(number, [0.91], first=2) for number in running)))
    die(slots, "b")
    assert tuple(numbers(slots.fill("c").members)) == given.drop
    assert [slots.engine.losses(number) for number in given.drop] == [0] * len(given.drop)


def test_only_the_trial_that_kills_its_workers_fails(tmp_path, monkeypatch):
    """Trial 2 kills whoever trains it: its pack is halved until it is alone, and only then it counts."""
    slots, said, packs = open_slots(tmp_path, monkeypatch, 6, *ONE_SHAPE), [], []
    slots.say = said.append
    for slot in map(str, range(20)):
        if (work := slots.fill(slot)) is None:
            break
        packs.append(numbers(work.members))
        if 2 in packs[-1]:
            die(slots, slot)
        else:
            slots.record(slot, [report(number, [0.9], "finished") for number in packs[-1]])
    assert packs == [[0, 1, 2, 3, 4, 5], [0, 1, 2], [3, 4, 5], [0], [1], [2], [2], [2]]
    assert states(slots) == {number: "FAIL" if number == 2 else "COMPLETE" for number in range(6)}
    assert said == [
        f"a worker died with {count} trials: they go on {rest}, until it shows which one kills it"
        for count, rest in ((6, "in packs of 3 at most"), (3, "each alone"))
    ]


def test_how_small_a_pack_must_be_survives_the_driver(tmp_path, monkeypatch):
    slots = open_slots(tmp_path, monkeypatch, 4, *ONE_SHAPE)
    assert numbers(slots.fill("a").members) == [0, 1, 2, 3]
    die(slots, "a")
    slots = open_slots(tmp_path, monkeypatch, 4, *ONE_SHAPE)
    assert numbers(slots.fill("a").members) == [0, 1], "who never lost a worker does not join them"
    assert [numbers(slots.fill(slot).members) for slot in "bc"] == [[2, 3], [4, 5]]


def test_a_worker_that_dies_before_it_begins_costs_no_loss(tmp_path, monkeypatch):
    slots = open_slots(tmp_path, monkeypatch)
    for slot in "abcd":
        assert numbers(slots.fill(slot).members) == [0]
        slots.close(slot, lost=True)
    assert slots.engine.losses(0) == 0 and not slots.engine.stopped
    slots.fill("e")
    die(slots, "e")
    assert slots.engine.losses(0) == 1
    for slot in "fghij":
        assert not slots.engine.stopped
        slots.fill(slot)
        slots.close(slot, lost=True)
    with pytest.raises(MerError, match=r"^5 workers in a row died before they began a trial: the study was stopped"):
        slots.engine.raise_if_stopped("again --resume", "again --retry-failed", tmp_path)
    assert states(slots) == {0: "RUNNING"}


def test_workers_that_die_with_a_stopped_study_cost_no_loss(tmp_path, monkeypatch):
    slots = open_slots(tmp_path, monkeypatch)
    slots.fill("a")
    slots.engine.block("the disk is full")
    die(slots, "a")
    assert slots.engine.losses(0) == 0 and states(slots) == {0: "RUNNING"}


def test_a_report_from_a_slot_that_is_closed_stops_it(slots):
    slots.fill("a")
    slots.close("a", lost=False)
    assert slots.record("a", [report(0, [0.5])]).is_over


def test_nothing_is_left_to_fill_a_slot_with(slots):
    assert [slots.fill(str(number)) is None for number in range(7)] == [False] * 6 + [True]


@pytest.mark.parametrize(("hours", "just_before", "just_after"), [(2.0, 7199.0, 7201.0), (0.5, 1799.0, 1801.0)])
def test_the_time_budget_is_in_hours(slots, monkeypatch, hours, just_before, just_after):
    clock = [1000.0]
    monkeypatch.setattr(stop_request.time, "monotonic", lambda: clock[0])
    stop = StopSignal(slots.engine, hours)
    for passed, wanted in ((0.0, False), (just_before, False), (just_after, True)):
        clock[0] = 1000.0 + passed
        assert stop.wanted is wanted
    assert not stop.interrupted


def test_without_a_time_budget_only_a_signal_or_the_engine_stops(slots, monkeypatch):
    stop = StopSignal(slots.engine, None)
    monkeypatch.setattr(stop_request.time, "monotonic", lambda: 1e12)
    assert not stop.wanted
    before = signal.getsignal(signal.SIGTERM)
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wanted and stop.interrupted
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
    hopeless = StopSignal(slots.engine, None)
    slots.engine.halt.hopeless = "every trial fails"
    assert hopeless.wanted and not hopeless.interrupted


def test_a_worker_that_gives_its_trials_back_costs_them_no_loss(tmp_path, monkeypatch):
    slots = open_slots(tmp_path, monkeypatch, 2, *ONE_SHAPE)
    slots.fill("a")
    for again in "bcde":
        slots.refuse("a" if again == "b" else chr(ord(again) - 1))
        assert numbers(slots.fill(again).members) == [0, 1]
    assert [slots.engine.losses(number) for number in (0, 1)] == [0, 0]


def test_an_attempt_that_a_worker_calls_lost_is_counted_and_the_others_go_on(tmp_path, monkeypatch):
    slots = open_slots(tmp_path, monkeypatch, 2, *ONE_SHAPE)
    slots.fill("a")
    change = slots.record("a", [report(1, [], "lost", reason="ObjectLostError: gone")])
    assert (change.drop, numbers(change.add)) == ((), [1]), "the place that is free is its own again"
    assert slots.engine.losses(1) == 1 and states(slots)[1] == "RUNNING"


def test_losses_survive_the_driver(tmp_path, monkeypatch):
    slots = open_slots(tmp_path, monkeypatch)
    for slot in "ab":
        slots.fill(slot)
        die(slots, slot)
    slots = open_slots(tmp_path, monkeypatch)
    assert numbers(slots.fill("a").members) == [0] and slots.engine.losses(0) == 2
    die(slots, "a")
    assert states(slots)[0] == "FAIL"


def write_files(tmp_path: Path, number: int, *names: str) -> None:
    folder = tmp_path / f"small/trials/{number:05d}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        save_tensors(folder / name, {}, {})


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slots:
    """Slots whose driver looks for the files, without waiting for a slow file system."""
    monkeypatch.setattr(lacking_files, "_PAUSES_S", ())
    slots = open_slots(tmp_path, monkeypatch)
    slots.lacking = lacking_files.lacking_file
    slots.fill("a")
    return slots


@pytest.mark.parametrize(
    ("outcome", "there"),
    [*itertools.product(["finished", "running"], [(), (BEST,), (LAST,)]), ("nonfinite", ()), ("nonfinite", (LAST,))],
)
def test_a_report_counts_only_when_its_files_are_there(watched, tmp_path, there, outcome):
    """Epoch 1 is judged. Nothing of the report is taken in: the next worker says it again."""
    write_files(tmp_path, 0, *there)
    change = watched.record("a", [report(0, [0.9], outcome)])
    assert change.is_over and watched.engine.losses(0) == 1 and states(watched) == {0: "RUNNING"}
    assert numbers(watched.fill("b").members) == [0]
    write_files(tmp_path, 0, BEST, LAST)
    assert watched.record("b", [report(0, [0.9], "finished")]).is_over and states(watched)[0] == "COMPLETE"


def test_a_loss_that_is_not_finite_before_the_first_checkpoint_ends_the_trial_at_once(watched, tmp_path):
    """Two epochs within the first half second, the third fails: only the best weights are written."""
    write_files(tmp_path, 0, BEST)
    assert watched.record("a", [report(0, [0.9], "nonfinite")]).is_over
    assert states(watched)[0] == "FAIL" and 0 not in watched.engine.live


def test_a_file_that_is_torn_is_not_there(watched, tmp_path):
    write_files(tmp_path, 0, BEST, LAST)
    path = tmp_path / "small/trials/00000" / BEST
    path.write_bytes(path.read_bytes()[:-4])
    watched.record("a", [report(0, [0.9], "finished")])
    for slot in "bc":
        watched.fill(slot)
        watched.record(slot, [report(0, [0.9], "finished")])
    ending = watched.engine.ledger.trials()[0].user_attrs["ending"]
    assert ending["outcome"] == "error" and ending["reason"].endswith("of what it wrote: best.safetensors is not whole")


def test_between_verdicts_nobody_looks(watched):
    assert watched.record("a", [report(0, [0.9, 0.9])]) == Change()
    assert watched.record("a", [report(0, [], "error", reason="boom")]).is_over


def test_a_driver_that_cannot_look_stops_the_study(watched):
    def refused(*_):
        raise OSError(5, "Input/output error", "best.safetensors")

    watched.lacking = refused
    watched.record("a", [report(0, [0.9], "finished")])
    assert watched.engine.halt.blocked == "best.safetensors: Input/output error" and states(watched) == {0: "RUNNING"}


def test_a_note_of_a_worker_is_said(slots):
    said = []
    slots.say = said.append
    slots.fill("a")
    slots.record("a", [replace(report(0, [0.5]), note="its checkpoint cannot be trusted")])
    assert said == ["trial 0: its checkpoint cannot be trusted"]
