"""A whole study through the command, and what is left of it when things die."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

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
    status = {"COMPLETE": "FINISHED", "PRUNED": "KILLED"}
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
        names |= {"confusion.svg"} if child.info.status == "FINISHED" else set()  # the best 20 that finished
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
