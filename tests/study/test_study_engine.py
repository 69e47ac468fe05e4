"""The engine without Ray: what a report means, who is cut, who hears of it and when."""

from __future__ import annotations

import errno
import math
import os

import pytest
from study_helpers import make_spec, open_ledger, report, row

from mer.errors import MerError
from mer.study.search.early_stopping import build_policy
from mer.study.search.engine import StudyEngine

ASHA = ("{kind: none}", "{kind: asha, grace_epochs: 2, reduction: 2}")


class Hears:
    """A listener that notes what it heard, and what the ledger said of the trial at that moment."""

    def __init__(self, ledger):
        self.ledger, self.events = ledger, []

    def note(self, *event):
        self.events.append((*event, self.ledger.trials()[event[1]].state.name))

    def trial_started(self, number, params, config):
        self.note("start", number)

    def trial_placed(self, number, *, has_worker):
        pass  # tests/study/test_study_live_table.py

    def trial_rows(self, number, rows):
        self.note("rows", number, [int(r["epoch"]) for r in rows])

    def trial_ended(self, number, outcome, best, reason):
        self.note("end", number, outcome, best["epoch"] if best else None)


def build(tmp_path, *changes, overrides=("budget.trials=9",), begin=1):
    spec = make_spec(tmp_path, *changes, overrides=overrides)
    ledger = open_ledger(tmp_path / "s", spec)
    hears = Hears(ledger)
    engine = StudyEngine(spec, ledger, build_policy(spec.budget, spec.scheduler), [hears])
    for _ in range(begin):
        assert engine.next_trial() is not None
    return engine, ledger, hears


def values(ledger, number):
    return ledger.trials()[number].intermediate_values


def test_rows_are_reported_as_best_so_far_and_passed_on(tmp_path):
    engine, ledger, hears = build(tmp_path)
    assert not engine.record(report(0, [0.3, 0.2]))
    assert not engine.record(report(0, [0.4], first=3))
    assert values(ledger, 0) == {1: 0.3, 2: 0.3, 3: 0.4}
    assert engine.record(report(0, [0.1], "finished", first=4))
    assert ledger.trials()[0].value == 0.4 and engine.seconds_in_reports.count == 3
    assert hears.events == [
        ("start", 0, "RUNNING"),
        ("rows", 0, [1, 2], "RUNNING"),
        ("rows", 0, [3], "RUNNING"),
        ("rows", 0, [4], "COMPLETE"),  # the ledger is written before anybody hears of it
        ("end", 0, "finished", 3, "COMPLETE"),
    ]


def test_listeners_hear_the_ending_that_the_ledger_has_noted(tmp_path):
    """A trial that finished without an epoch failed: MLflow must not call it FINISHED."""
    engine, ledger, hears = build(tmp_path)
    assert engine.record(report(0, [], "finished"))
    assert ledger.trials()[0].user_attrs["ending"]["outcome"] == "error"
    assert hears.events[-1] == ("end", 0, "error", None, "FAIL")


def test_replays_are_ignored(tmp_path):
    engine, ledger, hears = build(tmp_path)
    engine.record(report(0, [0.3, 0.5]))
    assert not engine.record(report(0, [0.3, 0.5, 0.6]))
    assert [event[2] for event in hears.events if event[0] == "rows"] == [[1, 2], [3]]
    engine.record(report(0, [], "finished"))
    before = list(hears.events)
    assert engine.record(report(0, [0.9] * 6, "finished"))  # over, says the engine to whoever still asks
    assert engine.record(report(7, [0.9]))
    assert hears.events == before and ledger.trials()[0].value == 0.6


def test_a_resumed_trial_is_heard_again_but_not_judged_again(tmp_path):
    engine, ledger, _ = build(tmp_path, ASHA, begin=3)
    for number, score in [(0, 0.9), (1, 0.95)]:
        assert not engine.record(report(number, [0.1, score]))
    assert not engine.record(report(2, [0.99]))
    engine, ledger, hears = build(tmp_path, ASHA, begin=3)
    assert engine.policy.rungs == {(0, 2): {0: 0.9, 1: 0.95}}
    assert not engine.record(report(0, [0.1, 0.9]))  # would now be below the better half
    assert values(ledger, 0) == {1: 0.1, 2: 0.9}
    assert hears.events[-1] == ("rows", 0, [1, 2], "RUNNING")
    assert engine.record(report(2, [0.1, 0.2]))  # this one was not judged yet


def test_cut(tmp_path):
    engine, ledger, hears = build(tmp_path, ASHA, begin=2)
    engine.record(report(0, [0.5, 0.6]))
    assert engine.record(report(1, [0.4, 0.3, 0.9]))  # cut after epoch 2: what came later does not count
    trial = ledger.trials()[1]
    assert (trial.state.name, trial.value, trial.intermediate_values) == ("PRUNED", 0.4, {1: 0.4, 2: 0.4})
    assert trial.user_attrs["ending"]["reason"] == "stopped by asha after epoch 2"
    assert hears.events[-2:] == [("rows", 1, [1, 2], "PRUNED"), ("end", 1, "cut", 1, "PRUNED")]
    assert 1 not in engine.live


def test_the_last_row_of_a_finished_trial_is_not_cut(tmp_path):
    engine, ledger, _ = build(tmp_path, ASHA, begin=2)
    engine.record(report(0, [0.5, 0.6]))
    assert engine.record(report(1, [0.1, 0.2], "finished"))
    assert ledger.trials()[1].state.name == "COMPLETE"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_rows_after_a_non_finite_one_are_dropped(tmp_path, bad):
    engine, ledger, hears = build(tmp_path)
    assert engine.record(report(0, [0.4, bad, 0.9], "nonfinite", reason="loss is nan"))
    trial = ledger.trials()[0]
    assert trial.state.name == "FAIL" and trial.intermediate_values == {1: 0.4}
    assert trial.user_attrs["ending"]["best"]["epoch"] == 1
    assert hears.events[-2:] == [("rows", 0, [1, 2], "FAIL"), ("end", 0, "nonfinite", 1, "FAIL")]


def test_finished_without_a_finite_row_is_no_result(tmp_path):
    engine, ledger, _ = build(tmp_path)
    engine.record(report(0, [math.nan], "finished"))
    assert ledger.trials()[0].state.name == "FAIL"


def test_smaller_is_better(tmp_path):
    loss = ("{metric: dev_weighted_f1, mode: max}", "{metric: dev_loss, mode: min}")
    engine, ledger, _ = build(tmp_path, loss, ASHA, begin=2)
    engine.record(report(0, [0.8, 0.9]))  # dev_loss 0.2, 0.1
    assert values(ledger, 0)[2] == pytest.approx(0.1)
    assert engine.record(report(1, [0.7, 0.6]))  # dev_loss 0.3, 0.4: worse, cut
    assert ledger.trials()[1].value == pytest.approx(0.3)


def test_combinations_that_do_not_fit_fail_and_the_next_is_handed_out(tmp_path):
    engine, ledger, hears = build(tmp_path, begin=0)
    point = {"optim.head_lr": 1e-3, "head.hidden": 8}
    # what 200 random draws of the loader may miss: a value that only together with others is refused
    ledger.study.enqueue_trial(point | {"head.hidden": 9})
    engine.next_trial()
    refuses = engine.spec.model_copy(update={"fixed": {**engine.spec.fixed, "optim.batch_size": 1}})
    fits, engine.spec = engine.spec, refuses
    real = ledger.next_assignment

    def after_the_first():
        assignment = real()
        engine.spec = refuses if assignment.number == 1 else fits
        return assignment

    ledger.next_assignment = after_the_first
    assignment, config = engine.next_trial()
    assert assignment.number == 2 and config.optim.batch_size > 1
    failed = ledger.trials()[1]
    assert failed.state.name == "FAIL" and "optim.batch_size" in failed.user_attrs["ending"]["reason"]
    assert [event[:2] for event in hears.events if event[0] != "rows"] == [
        ("start", 0),
        ("start", 1),  # MLflow and the table show it as failed, though nothing ran
        ("end", 1),
        ("start", 2),
    ]


def test_three_failures_before_any_success_end_the_study(tmp_path):
    engine, _, _ = build(tmp_path, begin=3)
    for number in range(2):
        engine.record(report(number, [], "error", reason="boom"))
    assert not engine.halt.hopeless and engine.next_trial() is not None
    engine.record(report(2, [], "error", reason="boom 3"))
    assert engine.halt.hopeless == "boom 3" and engine.next_trial() is None
    with pytest.raises(MerError, match=r"the first 3 trials all failed, so the study was stopped: boom 3"):
        engine.raise_if_stopped("again --resume", "again --fresh", tmp_path)


def test_a_loss_that_is_not_a_number_and_a_refused_draw_are_none_of_the_first_failures(tmp_path):
    """Two trials trained until their loss was no number: the next two errors leave hope. So at the next start."""
    engine, _, _ = build(tmp_path, begin=5)
    for number in range(2):
        engine.record(report(number, [], "nonfinite", reason="loss is nan"))
    for number in (2, 3):
        engine.record(report(number, [], "error", reason=f"boom of kind {'ab'[number - 2]}"))
    assert not engine.stopped
    again = StudyEngine(engine.spec, open_ledger(tmp_path / "s", engine.spec), engine.policy)
    again.next_trial()
    again.record(report(4, [], "error", reason="boom"))
    assert not again.stopped


def test_the_first_failures_of_an_earlier_driver_are_remembered(tmp_path):
    engine, _, _ = build(tmp_path, begin=2)
    for number in range(2):
        engine.record(report(number, [], "error", reason="boom"))
    again = StudyEngine(engine.spec, open_ledger(tmp_path / "s", engine.spec), engine.policy)
    again.next_trial()
    again.record(report(2, [], "error", reason="boom 2"))
    assert again.halt.hopeless == "boom 2"


def test_one_success_is_hope(tmp_path):
    engine, _, _ = build(tmp_path, begin=4)
    engine.record(report(0, [0.5], "finished"))
    for number in (1, 2, 3):
        engine.record(report(number, [], "error", reason="boom"))
    assert not engine.halt.hopeless
    engine.raise_if_stopped("again --resume", "again --fresh", tmp_path)


def test_a_trial_survives_two_losses_of_its_worker_and_goes_on_under_its_number(tmp_path):
    engine, ledger, hears = build(tmp_path, overrides=("budget.trials=2",), begin=0)
    first = engine.next_trial()
    engine.record(report(0, [0.5]))
    for _ in range(2):
        engine.lost(0)
        assert ledger.trials()[0].state.name == "RUNNING"
        assert engine.next_trial() == first  # before anything new: a single worker draws in the same order
    assert engine.next_trial()[0].number == 1
    assert not engine.record(report(0, [0.5, 0.6]))  # its new worker repeats what was heard
    assert engine.record(report(0, [], "finished"))
    assert ledger.trials()[0].value == 0.6
    assert [event[:3] for event in hears.events if event[1] == 0] == [
        ("start", 0, "RUNNING"),
        ("rows", 0, [1]),
        ("rows", 0, [2]),
        ("rows", 0, []),
        ("end", 0, "finished"),
    ]


def test_the_third_loss_fails_a_trial(tmp_path):
    engine, ledger, hears = build(tmp_path)
    engine.record(report(0, [0.5]))
    for _ in range(2):
        engine.lost(0)
        engine.next_trial()
    engine.lost(0)
    engine.lost(0)  # over
    assert ledger.trials()[0].state.name == "FAIL"
    assert "lost 3 times" in ledger.trials()[0].user_attrs["ending"]["reason"]
    assert hears.events[-1] == ("end", 0, "error", 1, "FAIL") and len(hears.events) == 4


def test_a_study_is_over_when_no_trial_can_come_back(tmp_path):
    """Ray never asks again once it was told that the search is over."""
    engine, _, _ = build(tmp_path, overrides=("budget.trials=1",))
    assert engine.next_trial() is None and not engine.over
    engine.lost(0)
    assert engine.next_trial()[0].number == 0 and engine.next_trial() is None and not engine.over
    engine.record(report(0, [0.5], "finished"))
    assert engine.over


def test_nothing_more_than_the_budget(tmp_path):
    engine, _, _ = build(tmp_path, overrides=("budget.trials=2",), begin=2)
    assert engine.next_trial() is None


def test_several_objectives_use_the_row_that_is_best_by_the_first(tmp_path):
    both = ("{metric: dev_weighted_f1, mode: max}", "[{metric: dev_weighted_f1}, {metric: dev_loss, mode: min}]")
    engine, ledger, _ = build(tmp_path, both)
    rows = report(0, [0.5, 0.7, 0.6], "finished")
    rows.rows[1] = row(2, 0.7) | {"dev_loss": 2.0}
    engine.record(rows)
    assert ledger.trials()[0].values == [0.7, 2.0]


def test_a_score_that_is_not_finite_ends_the_trial(tmp_path):
    engine, ledger, _ = build(tmp_path, begin=1)
    assert engine.record(report(0, [0.5, float("nan"), 0.6]))
    assert ledger.trials()[0].state.name == "FAIL"
    assert "not finite at epoch 2" in ledger.trials()[0].user_attrs["ending"]["reason"]


def test_a_full_disk_stops_the_study_and_the_trial_stays_resumable(tmp_path):
    engine, ledger, _ = build(tmp_path, begin=2)
    assert engine.record(report(0, [0.5], "blocked", reason="studies/s: No space left on device"))
    assert engine.next_trial() is None and ledger.trials()[0].state.name == "RUNNING"
    with pytest.raises(MerError, match=r"(?s)No space left.*make room\), then go on with: again --resume"):
        engine.raise_if_stopped("again --resume", "again --fresh", tmp_path)


@pytest.mark.parametrize("event", ["report", "end", "next", "lost"])
def test_a_journal_that_cannot_be_written_stops_the_study_in_words(tmp_path, monkeypatch, event):
    """Nobody hears of what is not on disk, and nothing is written after it."""
    engine, _, hears = build(tmp_path, begin=2)
    engine.live[0].losses, heard = 2, list(hears.events)

    def refused(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refused)
        if event == "next":
            assert engine.next_trial() is None
        elif event == "lost":
            engine.lost(0)
        else:
            assert engine.record(report(0, [0.5], "running" if event == "report" else "finished"))
    assert hears.events == heard and engine.stopped and engine.next_trial() is None
    with pytest.raises(MerError, match=r"(?s)journal\.log: No space left.*make room\), then go on with: again --r"):
        engine.raise_if_stopped("again --resume", "again --fresh", tmp_path)
    states = [trial.state.name for trial in open_ledger(tmp_path / "s", engine.spec).trials()]
    assert states == ["RUNNING"] * 2
