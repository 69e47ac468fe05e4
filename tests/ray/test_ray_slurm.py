"""A study in a SLURM queue: cut by its limit, requeued, finished; on one node, and on two with a Ray of their own."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from conftest_ray import Workshop, histories, records
from slurm_cluster import cluster

__all__ = ["cluster"]
pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(600)]
STARTED_S = 240


def submit(workshop: Workshop, studies: Path, *options: str) -> str:
    command = workshop.command(studies, "--slurm", "--time", "00:10:00", *options)
    done = subprocess.run(command, cwd=workshop.home, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ended(cluster: Path) -> str:
    """Wait until job 1 has ended. Returns what the cluster says of it."""
    log, end = cluster / "log", time.monotonic() + STARTED_S
    while not log.exists() or "job 1: ended" not in (said := log.read_text(encoding="utf-8")):
        assert time.monotonic() < end, "the job has not ended"
        time.sleep(0.2)
    return said


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_study_that_is_cut_by_its_limit_is_requeued_and_equals_an_undisturbed_one(
    nodes: int, workshop: Workshop, uninterrupted: Path, cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = tmp_path / "my studies"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("STAND_IN_CUT", str(studies / "small" / "trials" / "00002" / "last.safetensors"))
    printed = submit(workshop, studies, "--nodes", str(nodes), "--slurm-option", "account=lab")
    assert printed.startswith(f"submitted job 1: {studies}/.small.slurm/job.sh\n")
    said = ended(cluster)
    output = (studies / ".small.slurm" / "1.out").read_text(encoding="utf-8")
    print(printed, said, output, sep="\n")
    assert said.splitlines()[1] == "job 1: signal SIGUSR1" and "job 1: requeued" in said, output
    assert "killed" not in said and said.endswith("job 1: ended 0\n")
    assert "the time is up: job 1 goes back into the queue and resumes the study" in output and "--resume" in output
    assert histories(studies / "small") == histories(uninterrupted / "small")
    parents, children = records(studies, "small")
    assert [run.info.status for run in parents] == ["FINISHED"] and len(children) == 6
    assert not {run.info.status for run in children} & {"RUNNING", "FAILED"}
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(studies) not in left, "a process of the job is still there"
