"""The ledger: points and budget, endings, what a driver leaves to the next one, and what a trial costs it."""

from __future__ import annotations

import math
import os

import optuna
import pytest
from ledger_lab import Killed, finish, study, uninterrupted
from optuna.trial import TrialState
from study_helpers import make_spec, open_ledger, row

from mer.study.search.journal import readable_journal
from mer.study.search.stored_trial import params_of

# -- points and budget ---------------------------------------------------------------------------------------------


def test_points_come_first_once_over_reopens(tmp_path):
    spec = make_spec(tmp_path, ("  - {optim", "  - {head.hidden: 9}\n  - {optim"))
    for _ in range(3):
        ledger = open_ledger(tmp_path / "s", spec)
    assert [t.state for t in ledger.trials()] == [TrialState.WAITING] * 2 and ledger.begun() == 0
    first, second, third = (ledger.next_assignment() for _ in range(3))
    assert first.params["head.hidden"] == 9
    assert second.params == spec.points[1]
    assert third.params not in (first.params, second.params)
    assert open_ledger(tmp_path / "s", spec).begun() == 3


def test_points_with_lists_survive(tmp_path):
    spec = study(tmp_path, "random")
    changed = spec.model_copy(update={"points": ({"encoders.text.layers": [2, 4]},)})
    assert open_ledger(tmp_path / "s", changed).next_assignment().params["encoders.text.layers"] == [2, 4]
    stored = open_ledger(tmp_path / "s", changed).trials()[0]
    assert params_of(stored)["encoders.text.layers"] == [2, 4]


def test_a_larger_budget_extends(tmp_path):
    small = make_spec(tmp_path, overrides=("budget.trials=2",))
    drawn = uninterrupted(tmp_path / "s", small)
    assert len(drawn) == 2 and not open_ledger(tmp_path / "s", small).work_left()
    large = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", large)
    assert ledger.work_left()
    assert uninterrupted(tmp_path / "s", large) == uninterrupted(tmp_path / "t", large)[2:]


def test_a_grid_ends_with_its_cells(tmp_path):
    spec = study(tmp_path, "grid", 99)
    drawn = uninterrupted(tmp_path / "s", spec)
    assert [params for _, params in drawn] == list(spec.space.grid()) and len(drawn) == 9
    ledger = open_ledger(tmp_path / "s", spec)
    assert not ledger.work_left() and ledger.most() == 9


# -- endings -------------------------------------------------------------------------------------------------------


def test_states_and_values(tmp_path):
    ledger = open_ledger(tmp_path / "s", make_spec(tmp_path))
    for _ in range(4):
        ledger.next_assignment()
    ledger.report(0, 1, 0.4)
    ledger.report(0, 1, 0.9)  # a repeat is left alone
    ledger.end(0, "finished", best=row(2, 0.5))
    ledger.report(1, 1, 0.2)
    ledger.end(1, "cut", best=row(1, 0.2), reason="stopped", last=(3, 0.3))
    ledger.end(2, "nonfinite", best=row(1, 0.9), reason="loss is nan")
    ledger.end(3, "error", best=None, reason="boom")
    for trials in (ledger.trials(), open_ledger(tmp_path / "s", make_spec(tmp_path)).trials()):
        assert [t.state.name for t in trials] == ["COMPLETE", "PRUNED", "FAIL", "FAIL"]
        assert [t.value for t in trials] == [0.5, 0.3, None, None]
        assert [t.intermediate_values for t in trials] == [{1: 0.4}, {1: 0.2, 3: 0.3}, {}, {}]
        assert [t.user_attrs["ending"]["reason"] for t in trials] == ["", "stopped", "loss is nan", "boom"]


def test_finished_without_an_epoch_is_a_failure(tmp_path):
    ledger = open_ledger(tmp_path / "s", make_spec(tmp_path))
    ledger.next_assignment()
    ledger.end(0, "finished", best=None)
    assert ledger.trials()[0].state == TrialState.FAIL
    assert ledger.trials()[0].user_attrs["ending"]["reason"] == "it ended before its first epoch"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_never_reaches_tell(tmp_path, value):
    both = ("{metric: dev_weighted_f1, mode: max}", "[{metric: dev_weighted_f1}, {metric: dev_loss, mode: min}]")
    spec = make_spec(tmp_path, both)
    ledger = open_ledger(tmp_path / "s", spec)
    ledger.next_assignment()
    ledger.end(0, "finished", best=row(1, 0.5) | {"dev_loss": value})
    trial = open_ledger(tmp_path / "s", spec).trials()[0]
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["ending"]["reason"] == "dev_loss is not a finite number at its best epoch"


def test_several_objectives(tmp_path):
    both = ("{metric: dev_weighted_f1, mode: max}", "[{metric: dev_weighted_f1}, {metric: dev_loss, mode: min}]")
    spec = make_spec(tmp_path, both)
    ledger = open_ledger(tmp_path / "s", spec)
    for score in (0.3, 0.6):
        assignment = ledger.next_assignment()
        ledger.report(assignment.number, 1, score)  # has no meaning with two; nothing is stored
        ledger.end(assignment.number, "finished", best=row(1, score))
    trials = open_ledger(tmp_path / "s", spec).trials()
    assert [t.values for t in trials if t.values] == [[0.3, 0.7], [0.6, 0.4]]
    assert [d.name for d in ledger.study.directions] == ["MAXIMIZE", "MINIMIZE"]


@pytest.mark.parametrize(
    ("outcome", "state", "value"), [("finished", "COMPLETE", 0.5), ("cut", "PRUNED", 0.4), ("error", "FAIL", None)]
)
def test_an_ending_that_was_only_noted_is_finished_on_open(tmp_path, outcome, state, value):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    ledger.next_assignment()
    last = (4, 0.4) if outcome == "cut" else None
    note = {"outcome": outcome, "reason": "r", "best": row(3, 0.5), "last": last}
    ledger._live[0].set_user_attr("ending", note)
    reopened = open_ledger(tmp_path / "s", spec)
    trial = reopened.trials()[0]
    assert (trial.state.name, trial.value) == (state, value)
    assert reopened.next_assignment().number == 1


# -- the next driver -----------------------------------------------------------------------------------------------


def test_orphans_come_back_first_in_order_with_their_reports(tmp_path):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    drawn = [ledger.next_assignment() for _ in range(3)]
    ledger.report(1, 1, 0.4)
    ledger.end(0, "finished", best=row(1, 0.5))
    heir = open_ledger(tmp_path / "s", spec)
    assert heir.work_left()
    assert [heir.next_assignment() for _ in range(2)] == drawn[1:]
    heir.report(1, 1, 0.9)  # heard before
    heir.report(1, 2, 0.6)
    assert heir.trials()[1].intermediate_values == {1: 0.4, 2: 0.6}
    assert heir.next_assignment().number == 3 and heir.next_assignment() is None


def test_reading_only(tmp_path):
    ledger = open_ledger(tmp_path / "s", make_spec(tmp_path))
    finish(ledger, ledger.next_assignment())
    with readable_journal(tmp_path / "s", "small") as readable:
        assert isinstance(readable, optuna.Study) and readable.trials[0].state == TrialState.COMPLETE


# -- cost ----------------------------------------------------------------------------------------------------------


def test_a_trial_costs_the_ledger_the_same_at_the_end_as_at_the_start(tmp_path, monkeypatch):
    """Nothing goes through all trials, or reads the journal again, to hand out and end one."""
    spec = make_spec(tmp_path, **{"budget.trials": 30})
    ledger = open_ledger(tmp_path / "s", spec)
    replay = type(ledger.storage._replay_result)
    looks, real = [], replay.get_all_trials
    monkeypatch.setattr(replay, "get_all_trials", lambda *args: looks.append(args) or real(*args))
    syncs, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: syncs.append(handle) or fsync(handle))
    monkeypatch.setattr(type(ledger.storage._own_journal._path), "read_bytes", None)
    while assignment := ledger.next_assignment():
        with ledger.together():
            for epoch in (1, 2, 3):
                ledger.report(assignment.number, epoch, 0.1 * epoch)
            finish(ledger, assignment)
    assert ledger.begun() == 30 and not looks
    assert len(syncs) == 2 * 30, "one wait for the disk when it is handed out, one when its report ends it"


def test_what_is_written_together_is_on_disk_when_the_block_ends(tmp_path):
    ledger = open_ledger(tmp_path / "s", make_spec(tmp_path))
    assignment = ledger.next_assignment()
    with pytest.raises(Killed), ledger.together():
        ledger.report(assignment.number, 1, 0.5)
        assert trials_on_disk(tmp_path / "s")[0].intermediate_values == {}
        raise Killed
    assert trials_on_disk(tmp_path / "s")[0].intermediate_values == {1: 0.5}


def trials_on_disk(folder):
    with readable_journal(folder, "small") as study:
        return study.get_trials(deepcopy=False)
