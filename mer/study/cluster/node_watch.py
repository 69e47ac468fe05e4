"""Watch the nodes of a cluster while a study runs: who left, who joined, how many trials fit now.

Ray Tune fixes the number of trials at once when a study starts; nodes come and go.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mer.study.cluster.connect import nodes_of_ray
from mer.study.cluster.stall import Stall
from mer.study.preflight.machine import Machine

_LOOK_S = 2.0


class Limiter(Protocol):
    """Ray Tune's ConcurrencyLimiter."""

    max_concurrent: int


@dataclass(frozen=True)
class Seen:
    """The cluster at one time: addresses of its nodes, and what each has for trials."""

    nodes: tuple[str, ...]
    machines: tuple[Machine, ...]


def ask_ray() -> Seen:
    """Ask the cluster that this process has joined."""
    import ray

    alive = sorted(node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"])
    return Seen(tuple(alive), tuple(nodes_of_ray()))


class NodeWatch:
    """Called after every event of Ray's loop; asks the cluster every two seconds.

    Args:
        limiter: gets the number of trials that run at once.
        fit: how many trials fit on the nodes; 0 for none.
        say: prints a line for the user.
        ask: describes the cluster.
        clock: seconds.
    """

    def __init__(
        self,
        limiter: Limiter,
        fit: Callable[[Sequence[Machine]], int],
        say: Callable[[str], None],
        ask: Callable[[], Seen] = ask_ray,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limiter, self.fit, self.say, self.ask, self.clock = limiter, fit, say, ask, clock
        self.stall = Stall(say)
        self._nodes: tuple[str, ...] | None = None
        self._next = -math.inf

    def reported(self) -> None:
        """Note that a worker has reported."""
        self.stall.reported(self.clock())

    def look(self, statuses: Callable[[], Iterable[str]]) -> None:
        """Compare the cluster with what it was.

        Args: statuses: Ray's words for the trials that were handed to it.
        """
        now = self.clock()
        if now < self._next:
            return
        self._next = now + _LOOK_S
        seen = self.ask()
        fit = self.fit(seen.machines)
        if self._nodes is not None and seen.nodes != self._nodes:
            words = [f"node {name} was lost" for name in self._nodes if name not in seen.nodes]
            words += [f"node {name} joined" for name in seen.nodes if name not in self._nodes]
            self.say(f"{', '.join(words) or 'nodes changed'}: {fit} trials at once fit now")
        self._nodes, self.limiter.max_concurrent = seen.nodes, max(1, fit)
        cpus, gpus = sum(node.cpus for node in seen.machines), sum(node.gpus for node in seen.machines)
        room = f"{len(seen.nodes)} nodes, {cpus:g} CPUs and {gpus:g} GPUs"
        self.stall.look(now, set(statuses()), fit, room)
