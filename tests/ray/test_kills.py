"""A small study that is killed, frozen, starved, copied and moved, then gone on with: as if nothing had happened.

Each case is one study with several disturbances; `benchmarks.kills` plays it and compares it with its undisturbed twin.
The same at random, in hundreds: `python -m benchmarks.kills`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest_ray import Workshop

from benchmarks.kills.mlflow_http import MlflowServer
from benchmarks.kills.plan import Plan, Step
from benchmarks.kills.play import clear, play, scene_of
from benchmarks.kills.stage import Stage, staged
from benchmarks.kills.worker_fork import ForkedWorkers

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(600)]

CASES = {
    "a driver killed while it starts, trains, saves and closes": (
        Step("driver killed", None, 1.0),
        Step("driver killed", 0.2, moment="training"),
        Step("driver killed", 0.4, moment="saving"),
        Step("driver killed", 0.9, moment="closing"),
    ),
    "workers killed while they train and save": (
        Step("worker killed", 0.2, moment="training"),
        Step("worker killed", 0.6, moment="saving"),
    ),
    "a frozen worker, a frozen driver, and a second driver": (
        Step("worker frozen", 0.2, moment="training"),
        Step("driver frozen", 0.4),
        Step("second driver", 0.5),
    ),
    "asked to stop, copied, killed at once with its worker, moved": (
        Step("driver asked to stop", 0.3, moment="training"),
        Step("studies copied", None),
        Step("all killed at once", 0.6),
        Step("studies moved", None),
    ),
    "a full disk, twice": (
        Step("disk full", 0.3, moment="training"),
        Step("disk full", 0.6, 0.2),
    ),
}
OWN_RAY = {
    "raylet": (Step("raylet killed", 0.3, moment="training"),),
    "GCS": (Step("GCS killed", 0.3, moment="training"),),
}


@pytest.fixture(scope="module")
def stage(
    workshop: Workshop, uninterrupted: Path, forked_workers: ForkedWorkers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with staged(workshop, uninterrupted, tmp_path_factory.mktemp("kills"), forked_workers) as found:
        yield found


def judged(steps: tuple[Step, ...], flavour: str, stage: Stage, server: MlflowServer | None = None) -> None:
    """Play a study and fail with what is wrong with it, or when a disturbance came too late."""
    plan = Plan(0, flavour, steps)
    scene = scene_of(plan, stage, server)
    try:
        outcome = play(plan, stage, scene)
    finally:
        clear(scene)
    assert outcome.is_clean, f"{outcome.verdict}\n{outcome.said}"
    assert not outcome.missed, outcome.hits
    for step, (_, moment) in zip(steps, outcome.hits, strict=True):
        assert step.moment in ("", moment), outcome.hits


@pytest.mark.parametrize("steps", CASES.values(), ids=CASES)
def test_nothing_is_lost(steps: tuple[Step, ...], stage: Stage) -> None:
    if any(step.kind == "disk full" for step in steps) and not stage.has_disk:
        pytest.skip("only root may mount a file system here")
    judged(steps, "shared Ray", stage)


@pytest.mark.parametrize("steps", OWN_RAY.values(), ids=OWN_RAY)
def test_a_ray_that_dies_costs_nothing(steps: tuple[Step, ...], stage: Stage) -> None:
    judged(steps, "own Ray", stage)


def test_a_server_that_goes_away_and_comes_back_gets_every_run(stage: Stage, tmp_path: Path) -> None:
    server = MlflowServer(tmp_path / "server", stage.shop.starter)
    shutil.copy(stage.database, server.database)
    server.start()
    try:
        judged((Step("MLflow stopped", 0.2), Step("MLflow stopped", 0.7)), "MLflow server", stage, server)
    finally:
        server.stop()
