"""A node on which another folder lies where the studies are: it is left out by name, and nothing is lost on it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest_ray import Workshop, optuna_trials

from benchmarks.kills.judge import compare
from benchmarks.kills.ray_nodes import RayNodes
from benchmarks.kills.snapshot import Snapshot
from benchmarks.kills.worker_fork import ForkedWorkers
from benchmarks.kills.workshop import STUDY

pytestmark = [pytest.mark.ray, pytest.mark.faults]

ALONE = ("--set", "scheduler.kind=none", "--set", "sampler.kind=random", "--set", "resources.workers=2")


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def apart(studies: Path) -> list[str]:
    """Words before a command that has an empty folder of its own in the place of the studies."""
    for unshare in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        words = [*unshare, "sh", "-c", f'mount -t tmpfs none "{studies}" && exec "$@"', "sh"]
        if subprocess.run([*words, "true"], capture_output=True).returncode == 0:
            return words
    pytest.skip("this user may not mount anything, not even in a namespace of its own")


@pytest.fixture(scope="module")
def nodes(apart: list[str], forked_workers: ForkedWorkers) -> Iterator[RayNodes]:
    """A head that trains nothing, and a node that sees another folder."""
    with RayNodes(forked_workers.helpers_python) as found:
        found.start(cpus=0)
        found.start(cpus=1, inside=apart)
        yield found


@pytest.fixture(scope="module")
def shop(workshop: Workshop, nodes: RayNodes) -> Workshop:
    return replace(workshop, settings=nodes.settings)


def test_without_another_node_the_study_stops_with_one_message(shop: Workshop, nodes: RayNodes, studies: Path) -> None:
    output = shop.run(studies, "--address", nodes.address, *ALONE, code=2)
    blind = nodes.nodes[1].ip
    assert re.search(rf"^node \S+ \({re.escape(blind)}\) is left out: {studies}/small is not there$", output, re.M)
    error = output[output.index("error: ") :]
    assert error.startswith(f"error: no node sees the study's folder {studies}/small: ")
    assert "next: mount one folder at the same path on all nodes" in error and "--resume" in error
    assert "Traceback" not in output and output.count("error: ") == 1
    assert {trial.state.name for trial in optuna_trials(studies / STUDY)} <= {"RUNNING", "WAITING"}, "none has failed"


def test_trials_of_a_blind_node_are_trained_elsewhere(
    shop: Workshop, nodes: RayNodes, studies: Path, tmp_path: Path
) -> None:
    """It goes on where the test above was stopped; the blind node is there and has a CPU to offer."""
    nodes.start(cpus=1)
    output = shop.run(studies, "--address", nodes.address, *ALONE, "--resume")
    assert output.count("is left out") == 1 and "Traceback" not in output
    replace(shop, settings={}).run(tmp_path, *ALONE)
    verdict = compare(Snapshot.of(studies, STUDY), Snapshot.of(tmp_path, STUDY), studies)
    assert verdict.is_clean, f"{verdict}\n{output}"
