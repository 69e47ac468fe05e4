"""The judge of kills sees what is lost, doubled and left over; a seed means the same plan; the table counts."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kills import fork_server
from benchmarks.kills.disturb import KINDS
from benchmarks.kills.judge import compare
from benchmarks.kills.outcomes import append, read, table
from benchmarks.kills.plan import FLAVOURS, plan_of
from benchmarks.kills.play import Outcome
from benchmarks.kills.snapshot import PARENT, Run, Snapshot, Trial, journal_lines, trials_ended


def run_of(number: int, place: Path, status: str = "FINISHED") -> Run:
    folder = place / "mlartifacts" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(f"{number}\n")
    tags = {"mer.outcome": "finished", "mlflow.parentRunId": "p"} if number != PARENT else {}
    return Run(number, status, tags, {"seed": "0"}, {("dev_loss", 1): [0.5], ("dev_loss", 2): [0.25]}, folder)


@pytest.fixture
def whole(tmp_path: Path) -> Snapshot:
    """A study of two trials with two epochs each."""
    rows = [{"epoch": "1.0", "dev_loss": "0.5"}, {"epoch": "2.0", "dev_loss": "0.25"}]
    trials = {n: Trial("COMPLETE", (0.25,), {1: 0.5, 2: 0.25}, {"lr": 0.1}) for n in range(2)}
    files = frozenset({"journal.log", "trials/00000/best.safetensors", "trials/00001/best.safetensors"})
    runs = [run_of(n, tmp_path) for n in (PARENT, 0, 1)]
    beside = frozenset({"small", "mlflow.db", "mlartifacts", ".store", ".small.lock"})
    return Snapshot(trials, {0: rows, 1: rows}, runs, {0: "aa", 1: "bb"}, files, beside)


def test_a_study_equals_itself(whole, tmp_path):
    verdict = compare(whole, whole, tmp_path)
    assert verdict.is_clean and str(verdict) == "as if nobody had disturbed it"


def test_what_is_lost(whole):
    found = replace(
        whole, trials={0: whole.trials[0]}, histories={0: whole.histories[0][:1], 1: whole.histories[1]},
        runs=whole.runs[:2],
    )  # fmt: skip
    verdict = compare(found, whole)
    assert verdict.lost == [
        "trial 1 is not in the journal", "epoch 2 of trial 0 is not in history.csv", "trial 1 is not in MLflow"
    ]  # fmt: skip
    assert verdict.doubled == verdict.incomplete == []


def test_a_metric_that_is_not_in_mlflow(whole):
    runs = [replace(run, points={("dev_loss", 1): [0.5]}) if run.number == 1 else run for run in whole.runs]
    assert compare(replace(whole, runs=runs), whole).lost == ["the run of trial 1: no dev_loss at step 2"]


def test_what_is_doubled(whole):
    twice = {**whole.runs[1].points, ("dev_loss", 1): [0.5, 0.5]}
    found = replace(
        whole, runs=[whole.runs[0], replace(whole.runs[1], points=twice), *whole.runs[1:]],
        histories={**whole.histories, 0: [*whole.histories[0], whole.histories[0][1]]},
    )  # fmt: skip
    assert compare(found, whole).doubled == [
        "epoch 2 of trial 0 is twice in history.csv",
        "trial 0 is in MLflow once too often",
        "the run of trial 0: dev_loss at step 1 is there 2 times",
    ]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"weights": {0: "aa", 1: "cc"}}, "weights differ: [1]"),
        ({"files": frozenset({"journal.log", "trials/00000/best.safetensors"})}, "no trials/00001/best.safetensors"),
        ({"beside": frozenset({"small", ".small.owner.json"})}, "left over beside the study: .small.owner.json"),
    ],
)
def test_what_else_differs(whole, change, word):
    assert compare(replace(whole, **change), whole).incomplete == [word]


def test_states_and_leftovers(whole):
    trials = {**whole.trials, 1: replace(whole.trials[1], state="FAIL", values=None)}
    runs = [*whole.runs[:2], replace(whole.runs[2], status="RUNNING")]
    found = replace(whole, trials=trials, runs=runs, files=whole.files | {"trials/00001/.last.safetensors.1.tmp"})
    assert compare(found, whole).incomplete == [
        "trial 1 differs: state FAIL, not COMPLETE; values None, not (0.25,)",
        "left over: trials/00001/.last.safetensors.1.tmp",
        "the run of trial 1: is RUNNING, not FINISHED",
        "the run of trial 1 is RUNNING, the trial FAIL",
    ]


def test_files_of_runs_are_where_the_study_is(whole, tmp_path):
    verdict = compare(whole, whole, tmp_path / "elsewhere")
    assert len(verdict.incomplete) == 3 and "its files are in" in verdict.incomplete[0]


def test_a_torn_journal_ends_before_its_torn_line(tmp_path):
    lines = [{"op_code": 4}, {"op_code": 6, "state": 0}, {"op_code": 6, "state": 1}, {"op_code": 6, "state": 2}]
    (tmp_path / "journal.log").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"op_code": 6, "sta')
    assert trials_ended(journal_lines(tmp_path)) == 2


@pytest.mark.parametrize("seed", range(30))
def test_a_seed_is_a_plan(seed):
    plan = plan_of(seed, 5, {"disk full": False})
    assert plan == plan_of(seed, 5, {"disk full": False})
    kinds = [step.kind for step in plan.steps]
    between = [kind for kind in kinds if KINDS[kind].between]
    assert len(kinds) - len(between) == 5 and "disk full" not in kinds
    assert set(kinds) - set(between) <= set(FLAVOURS[plan.flavour][1])
    ends = [KINDS[kind].ends for kind in kinds]
    assert all(any(ends[n : n + 3]) for n in range(len(ends) - 2)), "the third lost worker would fail a trial"
    shares = [step.share for step in plan.steps if step.share is not None]
    assert shares == sorted(shares)


def test_the_table_counts_and_can_be_gone_on_with(tmp_path):
    clean = Outcome(1, "shared Ray", [("driver killed", "training"), ("worker killed", "saving")], seconds=9.0)
    wrong = Outcome(2, "shared Ray", [("driver killed", "closing")], verdict={"lost": ["trial 0"], "doubled": []})
    for outcome in (clean, wrong):
        append(tmp_path / "kills.jsonl", outcome)
    assert read(tmp_path / "kills.jsonl") == [clean, wrong] and clean.is_clean and not wrong.is_clean
    lines = table([clean, wrong]).splitlines()
    assert lines[2] == "| driver killed | 0 | 0 | 1 | 0 | 1 | 0 | 2 | 1 | 0 | 0 | 0 |"
    assert lines[-1] == "| all | 0 | 0 | 1 | 1 | 1 | 0 | 3 | 1 | 0 | 0 | 0 |"


@pytest.mark.parametrize(("fault", "starts"), [(errno.EFAULT, 3), (errno.ENOENT, 1)])
def test_a_script_that_the_kernel_does_not_start_is_started_again(monkeypatch, fault: int, starts: int) -> None:
    tried: list[str] = []
    start = subprocess.Popen.__init__

    def reluctant(self: subprocess.Popen, *args: Any, **options: Any) -> None:
        tried.append(args[0][0])
        if len(tried) < 3:
            raise OSError(fault, os.strerror(fault))
        start(self, *args, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", reluctant)
    fork_server._start_scripts_again()
    with contextlib.nullcontext() if starts == 3 else pytest.raises(FileNotFoundError):
        subprocess.Popen(["true"]).wait()
    assert len(tried) == starts
