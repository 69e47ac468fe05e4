"""Slots and their members: what a worker gets to know, whose verdict a report brings, what a dead worker costs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from study_helpers import make_spec, open_ledger, report

from mer.study.search import stop_request
from mer.study.search.early_stopping import build_policy
from mer.study.search.engine import StudyEngine
from mer.study.search.slots import REPORT_INTERVAL_S, Slots
from mer.study.search.stop_request import StopSignal
from trainables.wire import Report, Slot

FEATURES = {"text": {"train": "a.safetensors", "dev": "b.safetensors"}}


@pytest.fixture
def slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slots:
    """A study of 6 trials that judges at epochs 1 and 3, in a folder named from the working directory."""
    monkeypatch.chdir(tmp_path)
    asha = ("scheduler: {kind: none}", "scheduler: {kind: asha, grace_epochs: 1, reduction: 3}")
    spec = make_spec(tmp_path, asha, overrides=("budget.trials=6", "resources.cpu=2"))
    ledger = open_ledger(tmp_path / "small", spec)
    engine = StudyEngine(spec, ledger, build_policy(spec.budget, spec.scheduler))
    return Slots(engine, Path("small"), lambda config: FEATURES)


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


def test_a_slot_is_over_when_its_last_member_is(slots):
    """Two members in one slot: each verdict is for one number. Trial 1 is cut at epoch 1, trial 0 goes on."""
    slots.fill("a"), slots.fill("b")
    slots.hosted["a"] |= slots.hosted.pop("b")
    assert slots.record("a", [report(0, [0.5])]) is False
    assert slots.record("a", [report(1, [0.4]), report(0, [0.6], first=2)]) is False
    states = [trial.state.name for trial in slots.engine.ledger.trials()[:2]]
    assert states == ["RUNNING", "PRUNED"] and slots.hosted == {"a": {0}}
    assert slots.record("a", [report(0, [0.7], "finished", first=3)]) is True
    assert slots.engine.ledger.trials()[0].value == 0.7


def test_a_dead_worker_costs_no_member_its_number(slots):
    slots.fill("a"), slots.fill("b"), slots.fill("c")
    slots.hosted["a"] |= slots.hosted.pop("b")
    slots.record("a", [report(1, [0.9], "finished")])
    slots.close("a", lost=True)
    again = slots.fill("d")
    assert again is not None and [task.number for task in again.members] == [0], "trial 1 had finished, 2 is elsewhere"
    slots.close("c", lost=False)
    following = slots.fill("e")
    assert following is not None and following.members[0].number == 3


def test_a_report_from_a_slot_that_is_closed_stops_it(slots):
    slots.fill("a")
    slots.close("a", lost=False)
    assert slots.record("a", [report(0, [0.5])]) is True


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
    slots.engine.hopeless = "every trial fails"
    assert hopeless.wanted and not hopeless.interrupted
