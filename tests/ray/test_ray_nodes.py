"""Three Ray nodes on this machine, of which some die while a study runs and others come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from conftest_ray import Workshop, wait_until

from benchmarks.kills.judge import compare
from benchmarks.kills.ray_nodes import RayNode, RayNodes
from benchmarks.kills.snapshot import Snapshot
from benchmarks.kills.worker_fork import ForkedWorkers
from benchmarks.kills.workshop import STUDY

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(600)]

PIECES = 3  # of objects that a node gets from the driver's: two feature files, and the handles to them
ALONE = ("--set", "scheduler.kind=none", "--set", "sampler.kind=random")


@pytest.fixture(scope="module")
def nodes(forked_workers: ForkedWorkers) -> Iterator[RayNodes]:
    """A head that trains nothing, a node with two CPUs and one with one."""
    with RayNodes(forked_workers.helpers_python) as found:
        found.start(cpus=0)
        for cpus in (2, 1):
            found.start(cpus=cpus, wait=False)
        for node in found.nodes:
            node.wait_until_up()
        yield found


@pytest.fixture(scope="module")
def shop(workshop: Workshop, nodes: RayNodes, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Nine trials that depend on nobody: whoever trains them, their numbers are the same."""
    text = workshop.space.read_text().replace("trials: 6, epochs: 6", "trials: 9, epochs: 25")
    text = text.replace("workers: 1, pack: 1", "pack: 1")
    space = tmp_path_factory.mktemp("nodes") / "nodes.yaml"
    space.write_text(text)
    return replace(workshop, space=space, settings=nodes.settings)


@dataclass(frozen=True)
class Told:
    """What became of the study: its folder, what it printed, pieces that each node received."""

    studies: Path
    output: str
    received: dict[str, int]


@pytest.fixture(scope="module")
def told(shop: Workshop, nodes: RayNodes, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A node dies and another comes; then all that train die, and after a while one comes."""
    studies = tmp_path_factory.mktemp("told")
    process = shop.start(studies, "--address", nodes.address, *ALONE)
    received: dict[str, int] = {}

    def says(words: str) -> None:
        wait_until(lambda: words in process.output() or process.poll() is not None)
        assert process.poll() is None, process.output()

    def busy(*wanted: RayNode) -> None:
        wait_until(lambda: all(node.workers() for node in wanted) or process.poll() is not None)
        assert process.poll() is None, process.output()

    first, second = nodes.nodes[1:]
    busy(first, second)
    second.kill()
    says(f"node {second.ip} was lost: 2 trials at once fit now")
    third = nodes.start(cpus=1)
    says(f"node {third.ip} joined: 3 trials at once fit now")
    busy(third)
    wait_until(
        lambda: (
            (min(first.received(), third.received()) >= PIECES and len(first.workers()) == 2)
            or process.poll() is not None
        )
    )
    time.sleep(2.0)  # the nodes write down what they have received every half second: would there be more
    received = {node.ip: node.received() for node in (first, third)}
    for node in (first, third):
        node.kill()
    says("no trial runs: the study waits for a node with room (the cluster has 1 nodes, 0 CPUs and 0 GPUs)")
    nodes.start(cpus=2)
    process.wait(240)
    assert process.returncode == 0, process.output()
    return Told(studies, process.output(), received)


def test_nodes_that_die_cost_nothing(told: Told, shop: Workshop, tmp_path: Path) -> None:
    """The study with which it is compared trains its trials in packs, which give the same numbers sooner."""
    replace(shop, settings={}).run(tmp_path, *ALONE, "--set", "resources.pack=9")
    found, expected = Snapshot.of(told.studies, STUDY), Snapshot.of(tmp_path, STUDY)
    verdict = compare(found, expected, told.studies)
    assert verdict.is_clean, f"{verdict}\n{told.output}"
    assert "the study goes on, after" in told.output and "Traceback" not in told.output


def test_features_come_to_each_node_once(told: Told, shop: Workshop) -> None:
    files = list(shop.cache.rglob("*.safetensors"))
    assert len(files) == 2 and all(file.stat().st_size < 5 * 2**20 for file in files), "one piece for each file"
    assert set(told.received.values()) == {PIECES}, f"one node has two workers: {told.received}"


def test_a_frozen_node_is_given_up_and_writes_nothing_when_it_wakes(
    told: Told, shop: Workshop, nodes: RayNodes, tmp_path: Path
) -> None:
    frozen = nodes.nodes[-1]
    process = shop.start(tmp_path / "frozen", "--address", nodes.address, *ALONE)
    wait_until(lambda: bool(list((tmp_path / "frozen").glob("*/trials/*/last.safetensors"))))
    frozen.freeze()
    wait_until(lambda: f"node {frozen.ip} was lost" in process.output() or process.poll() is not None)
    nodes.start(cpus=2)
    frozen.thaw()
    assert process.wait(240) == 0, process.output()
    found = Snapshot.of(tmp_path / "frozen", STUDY)
    verdict = compare(found, Snapshot.of(told.studies, STUDY), tmp_path / "frozen")
    assert verdict.is_clean, f"{verdict}\n{process.output()}"


def test_a_driver_without_the_token_is_refused(shop: Workshop, nodes: RayNodes, tmp_path: Path) -> None:
    """One has another token, one has none; both knock at once, since Ray knocks for 20 s before it gives up."""
    strangers = {}
    for name, own in (("other", {"RAY_AUTH_TOKEN": "0" * 32}), ("none", {"RAY_AUTH_MODE": "disabled"})):
        driver = replace(shop, settings={**nodes.settings, **own}, database=None)
        strangers[name] = driver.start(tmp_path / name, "--address", nodes.address)
    for name, stranger in strangers.items():
        assert stranger.wait() == 2, (name, stranger.output())
        said = stranger.output()
        refusal = f"error: --address {nodes.address}: what answers there does not let this driver in: another token"
        assert refusal in said, (name, said)
        assert "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=TOKEN" in said and "Traceback" not in said, name
        assert not (tmp_path / name).exists()
