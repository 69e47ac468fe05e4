"""Studies whose workers train several trials as one program, through the command."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from conftest_ray import Workshop, histories, journal_lines, metric_steps, optuna_trials, records, wait_until

from benchmarks.kills.ray_nodes import trainers
from benchmarks.kills.worker_fork import ForkedWorkers

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def packed(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Ten trials of two shapes whose parameters depend on their number alone."""
    text = workshop.space.read_text().replace("trials: 6", "trials: 10").replace("kind: tpe", "kind: random")
    space = tmp_path_factory.mktemp("packs") / "packs.yaml"
    space.write_text(text)
    return replace(workshop, space=space)


@pytest.fixture(scope="module")
def one_by_one(packed: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    studies = tmp_path_factory.mktemp("one_by_one")
    packed.run(studies, "--set", "resources.pack=1", "--set", "scheduler.kind=none")
    return studies / "small"


def assert_same_numbers(study: Path, reference: Path) -> None:
    """Every trial is that of the reference as far as it came; a cut is decided by who is there at the time."""
    found, expected = histories(study), histories(reference)
    assert sorted(found) == sorted(expected)
    params = {trial.number: trial.params for trial in optuna_trials(reference)}
    assert {trial.number: trial.params for trial in optuna_trials(study)} == params
    for number, rows in found.items():
        assert [float(row["epoch"]) for row in rows] == list(range(1, len(rows) + 1))
        for row, twin in zip(rows, expected[number], strict=False):
            assert row == twin, (number, row["epoch"])


def test_a_slot_tells_the_worker_by_a_name_that_ray_still_has() -> None:
    """EngineScheduler calls `drop` and `add` of a worker through it, since Tune has no public way."""
    from ray.tune.experiment.trial import _TemporaryTrialState

    assert hasattr(_TemporaryTrialState(), "ray_actor"), (
        "this Ray has renamed Trial.temporary_state.ray_actor: look for who sets it in "
        "ray/tune/execution/tune_controller.py (set_ray_actor), and change mer.study.cluster.tune_hooks.worker_of"
    )


def test_packs_of_two_workers_give_the_numbers_of_trials_run_one_by_one(
    packed: Workshop, one_by_one: Path, tmp_path: Path
) -> None:
    packed.run(tmp_path, "--set", "resources.pack=3", "--set", "resources.workers=2")
    study = tmp_path / "small"
    assert_same_numbers(study, one_by_one)
    trials = optuna_trials(study)
    assert {trial.state.name for trial in trials} == {"COMPLETE", "PRUNED"}, "ASHA cuts members, and not all of them"
    whole, found = histories(one_by_one), histories(study)
    for trial in trials:
        complete = trial.state.name == "COMPLETE"
        assert (len(found[trial.number]) == len(whole[trial.number])) is complete, "a cut member trains no further"
    status = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED"}
    children = {int(child.data.tags["mer.trial"]): child for child in records(tmp_path, "small")[1]}
    for trial in trials:
        assert children[trial.number].info.status == status[trial.state.name]
        epochs = metric_steps(tmp_path, children[trial.number].info.run_id, "dev_weighted_f1")
        assert epochs == list(range(1, len(found[trial.number]) + 1))
    assert list(study.glob("trials/*/last.safetensors")) == []


@pytest.mark.faults
def test_a_killed_study_goes_on_in_packs_of_another_size(packed: Workshop, one_by_one: Path, tmp_path: Path) -> None:
    moment = random.Random(os.environ.get("MER_KILL_SEED"))
    study = tmp_path / "small"
    for attempt, pack in enumerate((4, 2)):
        options = ["--set", f"resources.pack={pack}", "--set", f"resources.workers={2 - attempt}"]
        process = packed.start(tmp_path, *options, *(["--resume"] if attempt else []))
        seen = len(journal_lines(study))
        wait_until(
            lambda seen=seen, process=process: len(journal_lines(study)) > seen + 9 or process.poll() is not None
        )
        time.sleep(moment.uniform(0, 4))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    packed.run(tmp_path, "--resume", "--set", "resources.pack=3", "--set", "resources.workers=2")
    assert_same_numbers(study, one_by_one)
    assert {child.info.status for child in records(tmp_path, "small")[1]} <= {"FINISHED", "KILLED"}
    assert json.loads((study / "summary.json").read_text())["best"]


@pytest.mark.faults
def test_a_killed_worker_costs_none_of_its_members(
    packed: Workshop, one_by_one: Path, forked_workers: ForkedWorkers, tmp_path: Path
) -> None:
    study = tmp_path / "small"
    process = packed.start(tmp_path, "--set", "resources.pack=4", "--set", "resources.workers=2")
    wait_until(lambda: len(list(study.glob("trials/*/last.safetensors"))) > 3 or process.poll() is not None)
    workers = list(trainers(forked_workers.members()))
    assert workers, "no worker process of ours was found"
    assert len(forked_workers.helpers()) == 5, "monitors, dashboard and agents are to be forked as well"
    workers[0].send_signal(signal.SIGKILL)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    wait_until(lambda: not forked_workers.helpers(), timeout_s=10)
    assert_same_numbers(study, one_by_one)
    assert {trial.state.name for trial in optuna_trials(study)} == {"COMPLETE", "PRUNED"}


WATCHED = """
    import runpy, sys
    from mer.study.search import slots
    slots._WORTH_MOVING_S = 0.0
    move = slots.Slots._move_half
    def told(self, *how):
        moved = move(self, *how)
        print("moved", len(moved), flush=True)
        return moved
    slots.Slots._move_half = told
    sys.argv = ["mer.tune", *sys.argv[1:]]
    runpy.run_module("mer.tune", run_name="__main__")
"""  # mer.tune, where no member is too near its end to move


@pytest.mark.faults
def test_members_that_move_to_an_idle_worker_keep_their_numbers(packed: Workshop, tmp_path: Path) -> None:
    """The worker that gives and the one that takes are killed right after the first move."""
    text = packed.space.read_text().replace("trials: 10, epochs: 6", "trials: 6, epochs: 30")
    space = tmp_path / "moves.yaml"
    space.write_text(text.replace("{choice: [256, 512]}", "{choice: [256]}"))
    shop = replace(packed, space=space)
    common = ("--set", "scheduler.kind=none", "--set", "resources.workers=2")
    shop.run(tmp_path / "alone", *common, "--set", "resources.pack=1")
    command = shop.command(tmp_path / "moved", *common, "--set", "resources.pack=4")
    command[1:3] = ["-c", textwrap.dedent(WATCHED)]
    process = subprocess.Popen(command, cwd=shop.home, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("moved") and sum(one.startswith("moved") for one in said) == 1:
            for worker in psutil.Process(process.pid).children(recursive=True):
                if "Trainable" in " ".join(worker.cmdline()):
                    worker.send_signal(signal.SIGKILL)
    assert process.wait(timeout=240) == 0 and any(line.startswith("moved") for line in said), "".join(said)
    assert_same_numbers(tmp_path / "moved" / "small", tmp_path / "alone" / "small")
    assert {trial.state.name for trial in optuna_trials(tmp_path / "moved" / "small")} == {"COMPLETE"}
