"""Threads of the simulated world: greenlets, of which one runs at a time, until it waits or ends.

Who runs next is decided here, so a run can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable

from greenlet import getcurrent, greenlet

from benchmarks.faults.world.clock import Clock
from benchmarks.faults.world.processes import Crash, Process, Running


class Stall(Exception):
    """Everybody waits for somebody else."""


class Task:
    """A thread, and what it waits for."""

    def __init__(self, process: Process, target: Callable[[], object]) -> None:
        self.process, self.started = process, False
        self.turns = greenlet(target)
        self.ready: Callable[[], bool] = lambda: True
        self.deadline: float | None = None

    @property
    def ended(self) -> bool:
        return self.started and self.turns.dead


class Hub:
    """Hands the turn from thread to thread. The one that made the hub is the first."""

    def __init__(self, clock: Clock, running: Running) -> None:
        self.clock, self.running = clock, running
        self._tasks: list[Task] = []
        self._now: Task | None = None  # None: the first thread
        self._first = getcurrent()
        clock.wait = self.wait

    def wait(self, seconds: float) -> None:
        """Let the thread that runs wait for so long."""
        self.block(lambda: False, seconds)

    def block(self, ready: Callable[[], bool], seconds: float | None) -> bool:
        """Let others run until `ready`, at most so many seconds. Returns whether it is. Raises: Crash; Stall."""
        deadline = None if seconds is None else self.clock.seconds + seconds
        if self._now is not None:
            self._now.ready, self._now.deadline = ready, deadline
            self._first.switch()
            return ready()
        while not ready():
            if deadline is not None and self.clock.seconds >= deadline:
                return False
            if not self.turn():
                self._let_time_pass(deadline)
        return True

    def turn(self) -> bool:
        """Let every other thread run that need not wait. Returns whether there was one. Raises: Crash."""
        able = [task for task in self._tasks if self._is_able(task)]
        for task in able:
            self._run(task, task.turns.switch)
            self.running.check()
        return bool(able)

    def begin(self, process: Process, target: Callable[[], object]) -> Task:
        """Start a thread of a process; it runs when it gets its turn."""
        task = Task(process, target)
        self._tasks.append(task)
        return task

    def kill(self, process: Process) -> None:
        """End the threads of a process that died."""
        for task in [task for task in self._tasks if task.process is process]:
            self._run(task, lambda task=task: task.turns.throw(Crash(process.name)))
            if not task.ended:
                self._tasks.remove(task)

    def _is_able(self, task: Task) -> bool:
        return task.ready() or (task.deadline is not None and self.clock.seconds >= task.deadline)

    def _let_time_pass(self, own: float | None) -> None:
        deadlines = [task.deadline for task in self._tasks if task.deadline is not None]
        deadlines += [own] if own is not None else []
        if not deadlines:
            raise Stall("every thread waits for another")
        self.clock.reach(min(deadlines))

    def _run(self, task: Task, switch: Callable[[], object]) -> None:
        """Give a thread its turn. Raises: an exception by which it ended, which is a finding."""
        process, before = self.running.now, self._now
        self.running.now, self._now, task.started = task.process, task, True
        try:
            switch()
        except Crash:  # it is dead; whoever runs as its process learns that by itself
            pass
        finally:
            self.running.now, self._now = process, before
            if task.ended:
                self._tasks.remove(task)
