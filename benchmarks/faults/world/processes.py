"""Processes of the simulated world: a driver and its workers, each of which may die at any moment.

All run in one real process, one at a time. A process that has died changes nothing any more: whatever it still tries
(a `finally`, a thread) raises `Crash` again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Crash(BaseException):
    """The simulated process is dead. No `except Exception` of the product may see it."""


@dataclass(eq=False)
class Process:
    """A simulated process.

    Args:
        name: "driver" or that of a worker.
        runs_ahead: its clock may be ahead of the world's: a worker's step is computed at once and takes until later.
        ahead: seconds by which it is.
    """

    name: str
    runs_ahead: bool = False
    alive: bool = True
    ahead: float = 0.0

    def die(self) -> Crash:
        """Die now; raise what is returned."""
        self.alive = False
        return Crash(self.name)


class Running:
    """Knows which process runs at this moment."""

    def __init__(self) -> None:
        self.outside = Process("outside")
        self.now = self.outside

    @contextmanager
    def inside(self, process: Process) -> Iterator[Process]:
        """Run the block as a process. Raises: Crash when it is dead."""
        before, self.now = self.now, process
        try:
            self.check()
            yield process
        finally:
            self.now = before

    def check(self) -> None:
        """Raise Crash when the process that runs is dead."""
        if not self.now.alive:
            raise Crash(self.now.name)
