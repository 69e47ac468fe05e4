"""Failed trials tried again: under new numbers, once each, on top of the budget; a grid is whole afterwards."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from study_helpers import make_spec, open_ledger, report, row
from typer.testing import CliRunner

from mer import tune
from mer.study.next_steps import next_steps
from mer.study.preflight.run_options import RunOptions
from mer.study.search.early_stopping import build_policy
from mer.study.search.engine import StudyEngine
from mer.study.search.ledger import Ledger
from mer.study.search.spending import Spending
from mer.study.search.stop_request import StopSignal
from mer.study.show.leaderboard import Results
from mer.study.space.load import load_spec

GRID = (
    ("sampler: {kind: random, seed: 0}", "sampler: {kind: grid}"),
    ("optim.head_lr: {float: [1e-4, 1e-2], log: true}", "optim.head_lr: {choice: [0.001, 0.002]}"),
    ("head.hidden: {int: [8, 64]}", "head.hidden: {choice: [8, 16]}"),
    ("points:\n  - {optim.head_lr: 1e-3, head.hidden: 32}\n", ""),
)


def opened(tmp_path: Path, *changes: tuple[str, str], trials: int = 9) -> tuple[Ledger, StudyEngine]:
    spec = make_spec(tmp_path, *changes, overrides=(f"budget.trials={trials}",))
    ledger = open_ledger(tmp_path / "s", spec)
    return ledger, StudyEngine(spec, ledger, build_policy(spec.budget, spec.scheduler))


def run(engine: StudyEngine, fail: tuple[int, ...] = ()) -> dict[int, dict[str, Any]]:
    """Run all that is left; these numbers fail. Returns what each was drawn."""
    drawn = {}
    while (following := engine.next_trial()) is not None:
        number = following[0].number
        drawn[number] = following[0].params
        outcome, reason = ("error", "boom") if number in fail else ("finished", "")
        engine.record(report(number, [0.5], outcome, reason=reason))
    return drawn


def states(ledger: Ledger) -> list[str]:
    return [trial.state.name for trial in ledger.trials()]


def test_a_grid_is_whole_after_its_failed_cells_were_tried_again(tmp_path):
    ledger, engine = opened(tmp_path, *GRID)
    drawn = run(engine, fail=(1, 3))
    assert states(ledger) == ["COMPLETE", "FAIL", "COMPLETE", "FAIL"] and ledger.cells == 4
    ledger, engine = opened(tmp_path, *GRID)
    assert not ledger.work_left() and run(engine) == {}, "a plain resume has nothing to do"
    assert ledger.retries.propose() == [1, 3] and ledger.retries.propose() == []
    engine = StudyEngine(engine.spec, ledger, engine.policy)
    assert ledger.work_left() and ledger.most() == 6
    assert run(engine) == {4: drawn[1], 5: drawn[3]}
    assert states(ledger)[4:] == ["COMPLETE"] * 2 and states(ledger)[1] == "FAIL", "its record of failure stays"
    assert ledger.retries.pairs() == {1: 4, 3: 5} and engine.over


def test_cells_that_come_after_a_repetition_are_the_right_ones(tmp_path):
    ledger, engine = opened(tmp_path, *GRID, trials=2)
    first = run(engine, fail=(0,))
    ledger, _ = opened(tmp_path, *GRID, trials=2)
    ledger.retries.propose()
    ledger, engine = opened(tmp_path, *GRID, trials=4)
    rest = run(engine)
    assert rest[2] == first[0] and len({str(params) for params in {**first, **rest}.values()}) == 4
    assert set(rest) == {2, 3, 4}


def test_a_repetition_that_is_killed_or_fails_is_tried_again(tmp_path):
    ledger, engine = opened(tmp_path, trials=2)
    drawn = run(engine, fail=(1,))
    ledger.retries.propose()
    assert ledger.next_assignment().number == 2  # and the driver dies
    ledger, engine = opened(tmp_path, trials=2)
    assert ledger.retries.propose() == [], "it is on its way"
    assert run(engine, fail=(2,)) == {2: drawn[1]}
    ledger, engine = opened(tmp_path, trials=2)
    assert ledger.retries.propose() == [2] and run(engine) == {3: drawn[1]}
    assert ledger.retries.pairs() == {1: 2, 2: 3}


def test_a_smaller_budget_keeps_no_repetition_from_running(tmp_path):
    ledger, engine = opened(tmp_path, trials=4)
    drawn = run(engine, fail=(3,))
    ledger, engine = opened(tmp_path, trials=2)
    ledger.retries.propose()
    assert ledger.work_left() and run(engine) == {4: drawn[3]} and not ledger.work_left()


def test_what_was_proposed_before_waits_behind_a_repetition(tmp_path):
    ledger, engine = opened(tmp_path, trials=3)
    assert engine.next_trial()[0].number == 0
    engine.record(report(0, [], "error", reason="boom"))
    ledger.study.enqueue_trial({"optim.head_lr": 1e-3, "head.hidden": 9})
    ledger.retries.propose()
    drawn = run(StudyEngine(engine.spec, ledger, engine.policy))
    assert list(drawn) == [2, 1, 3] and drawn[1]["head.hidden"] == 9


@pytest.mark.parametrize("quiet", [False, True])
def test_the_end_of_a_study_says_what_comes_next(tmp_path, quiet):
    options = RunOptions(Path("studies"), Path("features"), command="python -m mer.tune s.yaml", quiet=quiet)

    def lines(*changes: tuple[str, str], fail: tuple[int, ...] = (), trials: int = 4, retry: bool = False) -> list[str]:
        ledger, engine = opened(tmp_path, *changes, trials=trials)
        if retry:
            ledger.retries.propose()
        run(engine, fail)
        return next_steps(
            options, tmp_path / "s", Results(engine.spec, ledger), StopSignal(engine, None, Spending(engine)), []
        )

    again = "python -m mer.tune s.yaml" + ("" if quiet else " --trials 4 --resume --retry-failed")
    said = lines(*GRID, fail=(2,))
    assert said[:2] == ["all 4 combinations are done, 1 of them failed", f"failed trials:   {again}"]
    said = lines(*GRID, retry=True)
    assert said[0] == "all 4 combinations are done" and not any("more trials" in line for line in said)
    assert said[1].startswith("compare trials:")


def test_more_trials_are_advised_where_there_are_more(tmp_path):
    options = RunOptions(Path("studies"), Path("features"), command="c")
    ledger, engine = opened(tmp_path, *GRID, trials=3)
    run(engine)
    said = next_steps(
        options, tmp_path / "s", Results(engine.spec, ledger), StopSignal(engine, None, Spending(engine)), []
    )
    assert ledger.cells is None and said[0] == "more trials:     c --resume --trials 6"


def test_the_note_says_how_to_run_the_study_again_without_secrets(tmp_path):
    ledger, engine = opened(tmp_path, trials=3)
    note = Results(engine.spec, ledger).note("python -m mer.tune 'my space.yaml' --set hub.token=sunshine", tmp_path)
    assert "    python -m mer.tune 'my space.yaml' --set 'hub.token=[left out: a secret]' --trials 3\n" in note


def test_retrying_needs_a_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_spec(tmp_path)
    result = CliRunner().invoke(tune.app, ["space.yaml", "--retry-failed"])
    assert result.exit_code != 0 and str(result.exception) == (
        "--retry-failed: goes on with an existing study\n  next: python -m mer.tune space.yaml --resume --retry-failed"
    )


# -- failures in a row ---------------------------------------------------------------------------------------------


def fail(engine: StudyEngine, reasons: list[str]) -> None:
    for reason in reasons:
        following = engine.next_trial()
        assert following is not None
        outcome = "error" if reason else "finished"
        engine.record(report(following[0].number, [0.5], outcome, reason=reason))


def test_five_failures_in_a_row_by_one_cause_stop_the_study_whatever_went_well(tmp_path):
    _, engine = opened(tmp_path, trials=40)
    fail(engine, ["", "boom 1", "boom 2", "boom 3", "boom 4", ""])
    fail(engine, ["boom 1", "boom 2", "boom 3", "boom 4", "crash", "boom 5", "boom 6", "boom 7", "boom 8"])
    assert not engine.stopped
    fail(engine, ["boom 9"])
    assert engine.stopped and engine.next_trial() is None
    with pytest.raises(Exception, match=r"5 trials in a row failed alike, so the study was stopped: boom 9") as stopped:
        engine.raise_if_stopped("c --resume", "c --resume --retry-failed", tmp_path)
    assert str(stopped.value).endswith("then go on with: c --resume --retry-failed")
    ledger, engine = opened(tmp_path, trials=40)
    assert ledger.retries.propose() and engine.next_trial() is not None, "resumable"


def test_losses_of_a_score_in_a_row_are_the_ranges_own(tmp_path):
    _, engine = opened(tmp_path, trials=40)
    fail(engine, [""])
    for _ in range(8):
        number = engine.next_trial()[0].number
        engine.record(report(number, [], "nonfinite", reason="the loss became nan"))
    assert not engine.stopped


# -- budgets -------------------------------------------------------------------------------------------------------


def test_a_budget_of_epochs_counts_all_trials_and_runs(tmp_path):
    epochs = ("budget: {trials: 4, epochs: 6}", "budget: {trials: 4, epochs: 6, total_epochs: 7}")
    ledger, engine = opened(tmp_path, epochs)
    stop = StopSignal(engine, None, Spending(engine))
    engine.next_trial(), engine.next_trial()
    engine.record(report(0, [0.5, 0.5, 0.5], "finished"))
    engine.record(report(1, [0.5, 0.5]))
    assert engine.epochs_done == 5 and not stop.wanted
    ledger, engine = opened(tmp_path, epochs)
    stop = StopSignal(engine, None, Spending(engine))
    assert engine.epochs_done == 5, "those of a trial that was interrupted count before it tells them again"
    engine.next_trial()
    engine.record(report(1, [0.5, 0.5]))
    assert engine.epochs_done == 5 and not stop.wanted, "what is told again is counted once"
    engine.record(report(1, [0.5, 0.5], first=3))
    assert stop.wanted and stop.used_up == "the budget of 7 epochs is used up"
    options = RunOptions(Path("studies"), Path("features"), command="c")
    said = next_steps(options, tmp_path / "s", Results(engine.spec, ledger), stop, [])
    assert said[:2] == [
        "the budget of 7 epochs is used up: 8 trials are not finished, nothing is lost. Go on with",
        "  c --trials 9 --resume --set budget.total_epochs=14",
    ]
    ledger, engine = opened(tmp_path, epochs)
    assert StopSignal(engine, None, Spending(engine)).wanted, "typed again, it does not train on"


def test_the_advice_on_a_budget_works_as_typed(tmp_path, monkeypatch):
    """Both are used up, and far exceeded: what is printed leaves some of each."""
    budget = "budget: {trials: 4, epochs: 6, total_epochs: 2, cost: 3, cost_per_hour: 1.5}"
    clock = [0.0]
    monkeypatch.setattr("mer.study.search.spending.time.monotonic", lambda: clock[0])
    ledger, engine = opened(tmp_path, ("budget: {trials: 4, epochs: 6}", budget))
    stop = StopSignal(engine, None, Spending(engine))
    engine.next_trial()
    engine.record(report(0, [0.5] * 5))
    clock[0] = 5 * 3600.0
    assert stop.used_up == "the budget of 2 epochs is used up, and the budget of 3 is spent, at 1.5 an hour"
    typed = "python -m mer.tune space.yaml --set budget.cost=3"
    options = RunOptions(Path("studies"), Path("features"), command=typed)
    words = shlex.split(next_steps(options, tmp_path / "s", Results(engine.spec, ledger), stop, [])[1])
    overrides = [value for option, value in pairwise(words) if option == "--set"]
    spec = load_spec(tmp_path / "space.yaml", overrides)
    assert (spec.budget.total_epochs, spec.budget.cost) == (8, 12)
    again = StudyEngine(spec, ledger, engine.policy)
    assert not StopSignal(again, None, Spending(again)).wanted


def test_the_time_before_the_first_trial_costs_money_too(tmp_path, monkeypatch):
    money = ("budget: {trials: 4, epochs: 6}", "budget: {trials: 4, epochs: 6, cost: 3, cost_per_hour: 1.5}")
    monkeypatch.setattr("mer.study.search.spending.time.monotonic", lambda: 7300.0)
    ledger, engine = opened(tmp_path, money)
    spending = Spending(engine, began=100.0)  # two hours of extraction
    assert spending.used_up == "the budget of 3 is spent, at 1.5 an hour"
    spending.note(at_once=True)
    assert ledger.seconds_spent == 7200


def test_epochs_of_a_study_with_two_objectives_are_counted_too(tmp_path):
    both = ("{metric: dev_weighted_f1, mode: max}", "[{metric: dev_weighted_f1}, {metric: dev_loss, mode: min}]")
    _, engine = opened(tmp_path, both)
    engine.next_trial()
    engine.record(report(0, [0.5, 0.7, 0.6], "finished"))
    assert opened(tmp_path, both)[1].epochs_done == 3


def test_epochs_of_an_interrupted_trial_with_two_objectives_are_counted_too(tmp_path):
    both = ("{metric: dev_weighted_f1, mode: max}", "[{metric: dev_weighted_f1}, {metric: dev_loss, mode: min}]")
    epochs = ("budget: {trials: 4, epochs: 6}", "budget: {trials: 4, epochs: 6, total_epochs: 7}")
    _, engine = opened(tmp_path, both, epochs)
    engine.next_trial()
    engine.record(report(0, [0.5, 0.7]))
    _, engine = opened(tmp_path, both, epochs)
    assert engine.epochs_done == 2 and engine.next_trial() is not None
    engine.record(report(0, [0.5, 0.7, 0.6]))
    assert engine.epochs_done == 3 and opened(tmp_path, both, epochs)[1].epochs_done == 3


def test_a_budget_of_money_counts_the_time_of_all_runs(tmp_path, monkeypatch):
    money = ("budget: {trials: 4, epochs: 6}", "budget: {trials: 4, epochs: 6, cost: 3, cost_per_hour: 1.5}")
    clock = [100.0]
    monkeypatch.setattr("mer.study.search.spending.time.monotonic", lambda: clock[0])
    _, engine = opened(tmp_path, money)
    stop = StopSignal(engine, None, Spending(engine))
    clock[0] += 3600
    assert not stop.wanted and stop.spending.cost == pytest.approx(1.5)
    ledger, engine = opened(tmp_path, money)
    assert ledger.seconds_spent == 3600, "noted while it ran: a kill forgets less than a minute"
    stop = StopSignal(engine, None, Spending(engine))
    clock[0] += 3599
    assert not stop.wanted
    clock[0] += 2
    assert stop.wanted and stop.used_up == "the budget of 3 is spent, at 1.5 an hour"
    assert stop.spending.enlarge == "--set budget.cost=6"


def test_without_a_price_nothing_is_noted(tmp_path):
    ledger, engine = opened(tmp_path)
    StopSignal(engine, None, Spending(engine)).spending.note(at_once=True)
    assert "seconds_spent" not in ledger.study.user_attrs


def test_a_cost_needs_a_price(tmp_path):
    with pytest.raises(Exception, match="cost needs cost_per_hour beside it"):
        opened(tmp_path, ("epochs: 6}", "epochs: 6, cost: 3}"))


def test_rows_of_ended_trials_are_not_kept(tmp_path):
    _, engine = opened(tmp_path, trials=3)
    for number in range(3):
        engine.next_trial()
        engine.record(report(number, [0.5] * 5))
        engine.record(report(number, [0.5], "finished", first=6))
    assert engine.live == {} and engine.seconds_in_reports.count == 6
    assert row(1, 0.5)["epoch"] == 1
