"""What a machine has for trials, and how many fit."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mer.errors import MerError
from mer.study.preflight import machine
from mer.study.preflight.machine import Machine, most_trials, this_machine
from mer.study.space.spec import Resources


@pytest.fixture
def cpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Machine]:
    """A machine of 16 processors, with limits."""
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_OWN_CGROUPS", tmp_path / "own")
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)

    def count(own: str = "", files: dict[str, str] | None = None, slurm: str = "", affinity: int = 16) -> Machine:
        (tmp_path / "own").write_text(own)
        for name, content in (files or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        if slurm:
            monkeypatch.setenv("SLURM_CPUS_PER_TASK", slurm)
        monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(affinity)))
        return this_machine()

    return count


V1 = "cpu/a/cpu.cfs"
QUOTA = "the CPU quota of its control group"


@pytest.mark.parametrize(
    ("given", "count", "limit"),
    [
        ({}, 16, ""),
        ({"affinity": 3}, 3, "the CPU affinity of this process"),
        ({"slurm": "4"}, 4, "SLURM_CPUS_PER_TASK"),
        ({"slurm": "4(x2)"}, 16, ""),
        ({"slurm": "8", "affinity": 2}, 2, "the CPU affinity of this process"),
        ({"own": "0::/job/a\n", "files": {"job/a/cpu.max": "max 100000", "job/cpu.max": "250000 100000"}}, 2, QUOTA),
        ({"own": "0::/\n", "files": {"cpu.max": "50000 100000"}}, 1, QUOTA),
        ({"own": "3:cpu:/a\n0::/\n", "files": {f"{V1}_quota_us": "600000", f"{V1}_period_us": "100000"}}, 6, QUOTA),
        ({"own": "3:cpu:/a\n", "files": {f"{V1}_quota_us": "-1", f"{V1}_period_us": "100000"}}, 16, ""),
    ],
)  # fmt: skip
def test_cpus_are_those_that_the_process_may_use(cpus: Any, given: dict[str, Any], count: int, limit: str) -> None:
    assert (cpus(**given).cpus, cpus(**given).limit) == (count, limit)


def test_what_fits_and_what_to_type_where_nothing_does() -> None:
    have = [Machine(3, 1, "SLURM_CPUS_PER_TASK")]
    assert most_trials(Resources(), have) == 3 and most_trials(Resources(gpu=0.5), have) == 2
    assert most_trials(Resources(workers=2), have) == 2 and most_trials(Resources(workers=9), have) == 3
    with pytest.raises(MerError) as caught:
        most_trials(Resources(cpu=4, gpu=1), have)
    assert "at most cpu 3 (SLURM_CPUS_PER_TASK) and gpu 1 here" in caught.value.allowed
    words = shlex.split(caught.value.then.split(", or ")[0])
    typed = {
        key.removeprefix("resources."): float(value) for key, _, value in (word.partition("=") for word in words[1::2])
    }
    assert most_trials(Resources(**typed), have) == 1


def test_a_trial_runs_on_one_node() -> None:
    """What two nodes have left is no room for a trial."""
    have = [Machine(3, 0), Machine(3, 1), Machine(0, 0)]
    assert most_trials(Resources(cpu=2), have) == 2 and most_trials(Resources(cpu=0.5), have) == 12
    assert most_trials(Resources(gpu=0.5), have) == 2 and most_trials(Resources(cpu=2, workers=1), have) == 1
    with pytest.raises(MerError) as caught:
        most_trials(Resources(cpu=4, gpu=1), have)
    assert caught.value.allowed == "at most cpu 3 and gpu 1 here, on one node"
    assert str(caught.value.then).startswith("--set resources.cpu=3, or")


def test_a_cluster_whose_workers_are_still_to_come_is_no_refusal() -> None:
    """KubeRay's head has no CPU: alone it waits, beside others it does not count."""
    head = Machine(0, 0)
    assert most_trials(Resources(cpu=2), [head]) == 1 and most_trials(Resources(workers=3), [head]) == 3
    assert most_trials(Resources(cpu=2), [head, Machine(4, 0)]) == 2
    with pytest.raises(MerError, match="at most cpu 1"):
        most_trials(Resources(cpu=2), [head, Machine(1, 0)])
