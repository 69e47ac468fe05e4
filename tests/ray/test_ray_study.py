"""A whole study through the command, and what is left of it when things die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from conftest_ray import Workshop, histories, journal_lines, metric_steps, optuna_trials, records, wait_until

pytestmark = pytest.mark.ray


def assert_same_study(one: Path, other: Path) -> None:
    assert histories(one) == histories(other)
    key = lambda t: (t.number, t.params, t.state, t.values, t.intermediate_values)  # noqa: E731
    assert [key(t) for t in optuna_trials(one)] == [key(t) for t in optuna_trials(other)]


def test_mlflow_holds_one_parent_and_every_trial(uninterrupted: Path) -> None:
    parents, children = records(uninterrupted, "small")
    assert len(parents) == 1 and parents[0].info.status == "FINISHED"
    trials = {trial.number: trial for trial in optuna_trials(uninterrupted / "small")}
    status = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED"}
    assert {int(c.data.tags["mer.trial"]): c.info.status for c in children} == {
        number: status[trial.state.name] for number, trial in trials.items()
    }
    assert {t.state.name for t in trials.values()} == {"COMPLETE", "PRUNED"}, "the study should show both endings"
    written = histories(uninterrupted / "small")
    for child in children:
        number = int(child.data.tags["mer.trial"])
        assert child.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
        for key, value in trials[number].params.items():
            assert child.data.params[key] == str(value)
        assert child.data.params["encoders.text.layers"] == "[2, 4, 6]"
        epochs = [int(float(row["epoch"])) for row in written[number]]
        assert (
            metric_steps(uninterrupted, child.info.run_id, "dev_weighted_f1")
            == epochs
            == list(range(1, len(epochs) + 1))
        )
        best = max(float(row["dev_weighted_f1"]) for row in written[number])
        assert child.data.metrics["best_dev_weighted_f1"] == pytest.approx(best)
        artifacts = Path(child.info.artifact_uri.removeprefix("file://"))
        names = {"config.json", "history.csv", "environment.json"}
        names |= {"per_class.csv", "dev_predictions.csv", "confusion.csv"}
        names |= {"confusion.svg"} if trials[number].state.name == "COMPLETE" else set()  # the best 20 that finished
        assert {file.name for file in artifacts.iterdir()} == names


def test_summary_and_output_speak_of_the_best_trial(uninterrupted: Path) -> None:
    summary = json.loads((uninterrupted / "small" / "summary.json").read_text())
    complete = [t for t in optuna_trials(uninterrupted / "small") if t.state.name == "COMPLETE"]
    best = max(complete, key=lambda trial: trial.value)
    assert summary["best"]["number"] == best.number
    assert summary["best"]["best"]["dev_weighted_f1"] == best.value
    assert summary["features"]["encoded"] == 0
    assert best.value > summary["baseline_majority"]["dev_weighted_f1"] + 0.1
    output = (uninterrupted / "output.txt").read_text()
    assert f"best: trial {best.number}, dev_weighted_f1 {100 * best.value:.2f}" in output
    assert "--resume --trials 12" in output and "python -m mer.ui small" in output
    assert "Traceback" not in output


def test_an_existing_study_is_refused_then_extended(workshop: Workshop, uninterrupted: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(uninterrupted, tmp_path / "studies")
    studies = tmp_path / "studies"
    refusal = workshop.run(studies, code=2)
    assert "this study exists already" in refusal and "--resume" in refusal and "--fresh" in refusal
    before = histories(studies / "small")
    workshop.run(studies, "--resume", "--trials", "8")
    after = histories(studies / "small")
    assert sorted(after) == list(range(8)) and {n: after[n] for n in before} == before
    assert len(records(studies, "small")[1]) == 8


@pytest.mark.faults
def test_orderly_stops_leave_nothing_running(workshop: Workshop, uninterrupted: Path, tmp_path: Path) -> None:
    """One study is stopped by each signal in turn; SIGUSR1 and SIGHUP come to all of a job, as from Slurm."""
    studies, study = tmp_path / "studies", tmp_path / "studies" / "small"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        seen, began = len(journal_lines(study)), time.time()
        process = workshop.start(studies, *(["--resume"] if seen else []), own_group=True)
        wait_until(lambda began=began, process=process: trains(study, began) or process.poll() is not None)
        if number in (signal.SIGUSR1, signal.SIGHUP):
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 130, (number, output)
        assert "Go on with" in output and "--resume" in output
        parents, children = records(studies, "small")
        assert [r.info.status for r in parents] == ["KILLED"]
        assert children and all(r.info.status != "RUNNING" for r in children)
    workshop.run(studies, "--resume")
    assert_same_study(study, uninterrupted / "small")


def trains(study: Path, began: float) -> bool:
    """True when a worker has saved a checkpoint since `began`, in seconds of the clock."""
    return any(path.stat().st_mtime > began for path in study.glob("trials/*/last.safetensors"))


def open_doors(pid: int) -> set[str]:
    """Return the addresses at which a process and its descendants listen."""
    family = psutil.Process(pid).children(recursive=True)
    return {c.laddr.ip for member in family for c in member.net_connections("inet") if c.status == "LISTEN"}


KILLS_IDLE_WORKERS = """
import os, signal, sys, time
import psutil
from mer import tune
from mer.study.cluster import tune_hooks

numbers, suggest = {numbers}, tune_hooks.EngineSearcher.suggest


def kill_the_idle_worker_first(self, trial_id):
    slot = suggest(self, trial_id)
    number = slot["number"] if isinstance(slot, dict) else None
    if number in numbers:
        numbers.remove(number)
        family = psutil.Process().children(recursive=True)
        workers = [one for one in family if "Trainable" in " ".join(one.cmdline())]
        assert workers, "no worker process of ours was found"
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)
        psutil.wait_procs(workers, timeout=10)
        time.sleep(0.5)
        print("killed a worker before trial", number, flush=True)
    return slot


tune_hooks.EngineSearcher.suggest = kill_the_idle_worker_first
tune.main()
"""


@pytest.mark.faults
def test_a_worker_killed_between_two_trials_costs_no_trial(
    workshop: Workshop, uninterrupted: Path, tmp_path: Path
) -> None:
    """Ray ends the next trial, since it is PENDING, and the engine hands it out again; also when it is the last one."""
    script = tmp_path / "killer.py"
    script.write_text(KILLS_IDLE_WORKERS.replace("{numbers}", "[2, 5]"))
    studies = tmp_path / "studies"
    command = workshop.command(studies)
    command[1:3] = [str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=workshop.home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[-1] for line in done.stdout.splitlines() if line.startswith("killed")] == ["2", "5"]
    assert_same_study(studies / "small", uninterrupted / "small")
    assert len(records(studies, "small")[1]) == 6


def test_failed_trials_end_alone_and_say_why(workshop: Workshop, tmp_path: Path) -> None:
    """A learning rate that overflows ends its own trial as FAILED; the others go on."""
    text = (
        workshop.space.read_text()
        .replace("trials: 6, epochs: 6", "trials: 3, epochs: 2")
        .replace("grace_epochs: 2", "grace_epochs: 1")
    )
    text = text.replace("optim.head_lr: {float: [1e-4, 1e-2], log: true}", "optim.head_lr: {choice: [1e-3, 1e+30]}")
    text = text.replace(
        "  - {optim.head_lr: 1e-3,", "  - {optim.head_lr: 1e+30, head.hidden: 512}\n  - {optim.head_lr: 1e-3,"
    )
    space = tmp_path / "failing.yaml"
    space.write_text(text.replace("sampler: {kind: tpe", "sampler: {kind: random"))
    failing = replace(workshop, space=space)
    output = failing.run(tmp_path / "studies")
    trials = optuna_trials(tmp_path / "studies" / "small")
    assert trials[0].state.name == "FAIL" and "COMPLETE" in {t.state.name for t in trials}
    assert "the loss became" in trials[0].user_attrs["ending"]["reason"] and "failed: the loss became" in output
    children = {int(c.data.tags["mer.trial"]): c for c in records(tmp_path / "studies", "small")[1]}
    assert children[0].info.status == "FAILED" and "the loss became" in children[0].data.tags["mer.reason"]
