"""One ranking for the leaderboard, exports, re-ranking, kept weights and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from study_helpers import make_spec, open_ledger, row

from analysis.stores.journal import load_study
from mer.checkpoints import Store
from mer.errors import MerError
from mer.study.folder.read_study import StudyRecord, find_study, read_record
from mer.study.folder.standings import Standing, rank, rank_key
from mer.study.folder.weight_retention import WeightKeeper
from mer.study.show.leaderboard import Results
from mer.study.space.spec import StudyObjective

OBJECTIVE = "objective: {metric: dev_weighted_f1, mode: max}"
SMALLER = "objective: {metric: dev_loss, mode: min}"
ENDS: dict[int, tuple[float, Any]] = {
    0: (0.5, "finished"),
    1: (0.9, "cut"),  # better than every finished one, after fewer epochs
    2: (0.7, "finished"),
    3: (0.7, "finished"),  # as good as trial 2
    4: (0.95, "nonfinite"),
    5: (0.6, "finished"),
}
BEST_FIRST = [2, 3, 5, 0]


@pytest.fixture(params=[OBJECTIVE, SMALLER], ids=["larger is better", "smaller is better"])
def ended(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Results, StudyRecord, WeightKeeper]:
    """The same trials, as leaderboard, record and keeper of weights see them; by dev_loss = 1 - F1 they rank alike."""
    spec = make_spec(tmp_path, (OBJECTIVE, request.param), overrides=("budget.trials=9", "keep_weights=2"))
    folder = tmp_path / "small"
    ledger = open_ledger(folder, spec)
    for number, (score, outcome) in ENDS.items():
        assert ledger.next_assignment() is not None
        ledger.end(
            number,
            outcome,
            best=row(1, score, dev_macro_f1=score, dev_accuracy=score),
            last=(1, score) if outcome == "cut" else None,
        )
    assert ledger.next_assignment() is not None  # trial 6 runs
    keeper = WeightKeeper(Store(tmp_path), spec, folder, lambda text: None)
    keeper.remember(ledger.trials())
    return Results(spec, ledger), read_record(folder), keeper


def test_a_trial_that_was_stopped_early_never_wins(ended):
    results, record, keeper = ended
    assert [s.number for s in results.ranked] == BEST_FIRST
    assert [s.number for s in record.ranked] == BEST_FIRST
    assert [number for number in range(7) if keeper.kept(number)] == BEST_FIRST[:2]
    assert results.best is not None and results.best.number == 2
    report = load_study(record.folder, with_mlflow=False)
    assert [trial.number for trial in report.finished] == BEST_FIRST


def test_states_have_the_same_words_everywhere(ended):
    results, record, _ = ended
    words = {s.number: s.state for s in record.standings}
    assert words[1] == "stopped early" and words[4] == "failed" and words[6] == "interrupted"
    report = load_study(record.folder, with_mlflow=False)
    assert {trial.number: trial.state for trial in report.trials} == words
    assert dict(results.counts) == {"finished": 4, "stopped early": 1, "failed": 1, "interrupted": 1} == report.counts


def test_the_leaderboard_names_the_best_that_was_stopped(ended):
    results, _, _ = ended
    console = Console(width=160)
    with console.capture() as said:
        results.print_leaderboard(console, {})
    better = "0.1000" if results.spec.objective[0].mode == "min" else "90.00"
    assert f"1 stopped early, the best of them at {better} (trial 1)" in said.get()


def standing(number: int, score: float, state: Any = "finished") -> Standing:
    return Standing(number, state, {"dev_loss": score, "dev_accuracy": score})


def test_equal_scores_are_ranked_by_number():
    trials = [standing(number, score) for number, score in ((4, 0.5), (1, 0.5), (3, 0.2), (0, 0.5))]
    smaller, larger = StudyObjective(metric="dev_loss", mode="min"), StudyObjective(metric="dev_accuracy")
    assert [s.number for s in rank(trials, smaller)] == [3, 0, 1, 4]
    assert [s.number for s in rank(trials, larger)] == [0, 1, 4, 3]
    assert rank_key(0.5, 1, "max") < rank_key(0.5, 2, "max") < rank_key(0.4, 0, "max")


def test_only_finished_trials_are_ranked():
    others = [standing(n, 0.9, state) for n, state in enumerate(("stopped early", "failed", "interrupted", "waiting"))]
    assert rank(others, StudyObjective(metric="dev_accuracy")) == []
    assert [s.number for s in rank([*others, standing(7, 0.1)], StudyObjective(metric="dev_accuracy"))] == [7]


def test_several_objectives_are_ranked_by_the_first(tmp_path):
    both = "objective: [{metric: dev_weighted_f1}, {metric: dev_loss, mode: min}]"
    ledger = open_ledger(tmp_path / "small", make_spec(tmp_path, (OBJECTIVE, both)))
    for number, (score, loss) in enumerate([(0.5, 0.1), (0.7, 0.3), (0.6, 0.2)]):
        assert ledger.next_assignment() is not None
        ledger.end(number, "finished", best={**row(1, score), "dev_loss": loss})
    assert [s.number for s in read_record(tmp_path / "small").ranked] == [1, 2, 0]


def test_a_study_that_is_not_there_is_told_from_those_that_are(tmp_path):
    with pytest.raises(MerError) as caught:
        find_study("smal", tmp_path)
    assert f"\n  allowed: a study folder; {tmp_path} holds none\n" in str(caught.value)
    for name in ("small", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "journal.log").touch()
    with pytest.raises(MerError) as caught:
        find_study("smal", tmp_path)
    assert f"\n  allowed: in {tmp_path}: other, small\n" in str(caught.value)
    assert "Did you mean 'small'?" in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MerError, match=r"not a study \(no journal.log in it\)"):
        find_study("empty", tmp_path)
    assert find_study("small", tmp_path) == find_study(str(tmp_path / "small"), Path("/nowhere")) == tmp_path / "small"


def test_the_three_most_frequent_failures_are_named(tmp_path):
    ledger = open_ledger(tmp_path / "small", make_spec(tmp_path, overrides=("budget.trials=9",)))
    for reason in ("b", "a", "b", "c", "a", "b", "d"):
        assignment = ledger.next_assignment()
        assert assignment is not None
        ledger.end(assignment.number, "error", best=None, reason=reason)
    assert read_record(tmp_path / "small").failures() == "3 x b; 2 x a; 1 x c"
