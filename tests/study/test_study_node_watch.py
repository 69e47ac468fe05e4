"""A cluster that changes while a study runs: what is said, and how many trials run at once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mer.study.cluster.node_watch import NodeWatch, Seen
from mer.study.preflight.machine import Machine


class Cluster:
    """A made-up cluster of nodes with one CPU each, and a clock."""

    def __init__(self) -> None:
        self.nodes, self.now, self.asked = ["10.0.0.1", "10.0.0.2"], 0.0, 0
        self.said: list[str] = []
        self.limiter = SimpleNamespace(max_concurrent=2)
        self.watch = NodeWatch(
            self.limiter,
            lambda nodes: int(sum(node.cpus for node in nodes)),
            self.said.append,
            self.ask,
            lambda: self.now,
        )

    def ask(self) -> Seen:
        self.asked += 1
        return Seen(tuple(self.nodes), tuple(Machine(1, 0) for _ in self.nodes))

    def at(self, now: float, *statuses: str, report: bool = False) -> None:
        self.now = now
        if report:
            self.watch.reported()
        self.watch.look(lambda: iter(statuses))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_a_node_that_leaves_and_one_that_joins_change_how_many_trials_run(cluster):
    cluster.at(0, "RUNNING", "RUNNING")
    assert cluster.said == []
    cluster.nodes = ["10.0.0.1"]
    cluster.at(3, "RUNNING")
    assert cluster.limiter.max_concurrent == 1
    cluster.nodes = ["10.0.0.1", "10.0.0.3", "10.0.0.4"]
    cluster.at(6, "RUNNING")
    assert cluster.limiter.max_concurrent == 3
    assert cluster.said == [
        "node 10.0.0.2 was lost: 1 trials at once fit now",
        "node 10.0.0.3 joined, node 10.0.0.4 joined: 3 trials at once fit now",
    ]


def test_the_cluster_is_asked_every_two_seconds_and_not_at_every_event(cluster):
    for event in range(50):
        cluster.at(event / 10, "RUNNING")
    assert cluster.asked == 3


def test_a_study_without_a_node_says_so_once_and_when_it_goes_on(cluster):
    cluster.at(0, "RUNNING")
    cluster.nodes = []
    for now in range(3, 40, 3):
        cluster.at(now, "TERMINATED", "PENDING")
    assert cluster.limiter.max_concurrent == 1, "Ray Tune takes no zero"
    cluster.nodes = ["10.0.0.9"]
    cluster.at(42, "TERMINATED", "RUNNING")
    assert cluster.said[1:] == [
        "no trial runs: the study waits for a node with room (the cluster has 0 nodes, 0 CPUs and 0 GPUs)",
        "node 10.0.0.9 joined: 1 trials at once fit now",
        "trials run again: the study goes on, after 39 s",
    ]


def test_workers_that_start_slowly_are_given_a_minute(cluster):
    for now in range(0, 58, 3):
        cluster.at(now, "PENDING")
    assert cluster.said == []
    for now in range(60, 90, 3):
        cluster.at(now, "PENDING")
    assert cluster.said == [
        "no trial runs: other work has the nodes, or workers start slowly (the cluster has 2 nodes, 2 CPUs and 0 GPUs)"
    ]


def test_trials_that_wait_while_others_run_are_no_stall(cluster):
    for now in range(0, 29, 3):
        cluster.at(now, "RUNNING", "PENDING")
    cluster.at(31, "PENDING")
    cluster.at(34, "RUNNING")
    assert cluster.said == []


def test_silent_workers_are_said_once(cluster):
    cluster.at(0, "RUNNING", report=True)
    cluster.at(5, "RUNNING", report=True)
    for now in range(8, 60, 3):
        cluster.at(now, "RUNNING")
    cluster.at(61, "RUNNING", report=True)
    assert cluster.said == [
        "no worker has reported for 33 s: epochs are long, or a node hangs",
        "workers report again, after 56 s",
    ]


def test_long_epochs_are_no_silence(cluster):
    for now in range(0, 200, 25):
        cluster.at(now, "RUNNING", report=True)
    cluster.at(270, "RUNNING")
    assert cluster.said == [], "95 s are less than four times 25 s"
    cluster.at(280, "RUNNING")
    assert len(cluster.said) == 1
