"""What a cluster has running: workers, the slots that are placed there, and the moments at which something happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from benchmarks.faults.world.faults import Operation, Plan
from benchmarks.faults.world.processes import Process


def node_id(node: int, life: int) -> str:
    """Name a node as Ray does."""
    return f"node {node}.{life}"


@dataclass(eq=False)
class Worker:
    """A process on a node that hosts one slot after another."""

    process: Process
    node: int
    life: int  # of the node: one that comes back is another to Ray
    trainable: Any = None

    @property
    def node_id(self) -> str:
        return node_id(self.node, self.life)


@dataclass(eq=False)
class Placed:
    """One of Ray's trials: a slot. Without a worker it is PENDING."""

    trial_id: str
    config: dict[str, Any]
    worker: Worker | None = None
    is_begun: bool = False  # its worker has taken it
    answers_at: float = 0.0
    result: dict[str, Any] | None = None  # None: the worker is dead, or raised
    lost: bool = False  # before it had a worker

    @property
    def temporary_state(self) -> Any:
        return SimpleNamespace(ray_actor=self)

    @property
    def drop(self) -> Any:
        return SimpleNamespace(remote=lambda numbers: self.call("drop", numbers))

    @property
    def add(self) -> Any:
        return SimpleNamespace(remote=lambda tasks: self.call("add", tasks))

    call: Callable[[str, Any], None] = lambda name, argument: None


@dataclass
class Moments:
    """The moments of trials' lives, at which the plan may let something happen."""

    plan: Plan
    count: int = 0

    def fault(self, kind: str, where: str, process: str) -> str:
        operation = Operation("moment", self.count, kind, where, process)
        self.count += 1
        return self.plan.fault(operation)
