"""The clock of the simulated world, in the shape of the module `time`: it stands still until somebody waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.faults.world.processes import Running

_BEGIN_S = 4_000_000_000.0  # later than any file of the real world: none is too young to be collected


class Clock:
    """Stands in for the module `time`.

    Args: running: tells whose clock is read.
    Attributes: wait: lets the process that runs wait for so many seconds; the hub of threads sets it.
    """

    def __init__(self, running: Running) -> None:
        self.running, self.seconds = running, 0.0
        self.wait: Callable[[float], None] = self.advance

    def advance(self, seconds: float) -> None:
        """Let time pass for everybody."""
        self.reach(self.seconds + seconds)

    def reach(self, seconds: float) -> None:
        """Let time pass until then; exactly, or who waits for it would wait for ever."""
        self.seconds = max(self.seconds, seconds)

    def monotonic(self) -> float:
        return self.seconds + self.running.now.ahead

    perf_counter = monotonic

    def time(self) -> float:
        return _BEGIN_S + self.monotonic()

    def time_ns(self) -> int:
        return int(self.time() * 1e9)

    def sleep(self, seconds: float) -> None:
        """Wait; of a worker, whose step is computed at once, only its own clock goes on."""
        self.running.check()
        if self.running.now.runs_ahead:
            self.running.now.ahead += seconds
        else:
            self.wait(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)  # strftime and the like
