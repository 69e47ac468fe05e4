"""The leaderboard on a narrow terminal: one line a trial, settings short, what depends on a value behind it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from small_study import Ending, end_trial, write_spec

from mer.study.search.ledger import Ledger
from mer.study.show.leaderboard import Results
from mer.study.show.words import settings
from mer.terminal.spark import spark

ONE = "{metric: dev_weighted_f1, mode: max}"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    studies = tmp_path_factory.mktemp("studies")
    spec = write_spec(studies, "small", ONE)
    ledger = Ledger(studies / "small", spec) if (studies / "small").mkdir() is None else None
    assert ledger is not None
    for seed in range(14):
        assignment = ledger.next_assignment()
        assert assignment is not None
        end_trial(ledger, studies / "small", assignment.number, assignment.params, Ending("finished", seed))
    return Results(spec, ledger)


def printed(results: Results, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    results.print_leaderboard(console, {"dev_weighted_f1": 0.2, "dev_macro_f1": 0.1, "dev_accuracy": 0.3})
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 60, 160])
def test_a_trial_takes_one_line_at_any_width(results: Results, width: int) -> None:
    lines = printed(results, width)
    assert max(map(len, lines[:13])) <= width
    assert lines[1].split() == ["trial", "wF1", "mF1", "acc", "epoch", "settings"]
    assert [line.split()[0] for line in lines[2:12]] == [str(one.number) for one in results.ranked[:10]]
    assert lines[12].split()[:4] == ["majority", "20.00", "10.00", "30.00"]


def test_what_depends_on_a_kind_stands_behind_it(results: Results) -> None:
    rows = printed(results, 160)[2:12]
    for line, standing in zip(rows, results.ranked, strict=False):
        spcl = standing.params["loss.contrastive.kind"] == "spcl"
        assert ("spcl(temperature=" in line) == spcl and ("kind=none" in line) != spcl
        assert f"hidden={standing.params['head.hidden']}" in line


def test_settings_are_nested_as_their_conditions_are() -> None:
    params = {"a.kind": "gru", "b": 0.123456, "a.width": 64, "a.width.deep": True, "c.kind": "none"}
    conditions = {"a.width": ["a.kind"], "a.width.deep": ["a.kind", "a.width"]}
    names = {"a.kind": "a", "b": "b", "a.width": "width", "a.width.deep": "deep", "c.kind": "c"}
    assert settings(params, conditions, names) == "gru(width=64(deep=True)) b=.12 c=none"
    assert settings(params, conditions, {"b": "b", "a.width": "width"}) == "b=.12 width=64"


def test_what_is_the_same_in_all_is_said_once(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, "alike", ONE)
    (tmp_path / "alike").mkdir()
    ledger = Ledger(tmp_path / "alike", spec)
    for number in range(2):
        ledger.enqueue([{"optim.head_lr": 1e-3, "head.hidden": 8 + number}]) if hasattr(ledger, "enqueue") else None
    names, alike = Results(spec, ledger)._named([])
    assert names["head.hidden"] == "hidden" and alike == ""


def test_a_spark_line_rises_and_fits() -> None:
    assert spark([1, 2, 3, 4], width=10) == "▁▃▆█"
    assert spark([0.5] * 3, width=10) == "▁▁▁" and spark([], width=10) == ""
    many = spark(list(range(1000)), width=20)
    assert len(many) == 20 and many[0] == "▁" and many[-1] == "█"
    assert spark([1, 2, 3], width=5, encoding="ascii") == "_+#"
