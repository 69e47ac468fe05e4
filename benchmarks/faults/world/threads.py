"""Threads of the simulated world: greenlets, of which one runs at a time, until it waits or ends.

Stand-ins for `threading`, `queue` and `ThreadPoolExecutor`. Who runs next is decided here, so a run can be repeated.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from greenlet import getcurrent, greenlet

from benchmarks.faults.world.clock import Clock
from benchmarks.faults.world.processes import Crash, Process, Running


class Stall(Exception):
    """Everybody waits for somebody else."""


class _Task:
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
        self._tasks: list[_Task] = []
        self._now: _Task | None = None  # None: the first thread
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

    def begin(self, process: Process, target: Callable[[], object]) -> _Task:
        """Start a thread of a process; it runs when it gets its turn."""
        task = _Task(process, target)
        self._tasks.append(task)
        return task

    def kill(self, process: Process) -> None:
        """End the threads of a process that died."""
        for task in [task for task in self._tasks if task.process is process]:
            self._run(task, lambda task=task: task.turns.throw(Crash(process.name)))
            if not task.ended:
                self._tasks.remove(task)

    def _is_able(self, task: _Task) -> bool:
        return task.ready() or (task.deadline is not None and self.clock.seconds >= task.deadline)

    def _let_time_pass(self, own: float | None) -> None:
        deadlines = [task.deadline for task in self._tasks if task.deadline is not None]
        deadlines += [own] if own is not None else []
        if not deadlines:
            raise Stall("every thread waits for another")
        self.clock.advance(min(deadlines) - self.clock.seconds)

    def _run(self, task: _Task, switch: Callable[[], object]) -> None:
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


def threading_of(hub: Hub) -> Any:
    """Return a stand-in for the module `threading`."""

    class Thread:
        def __init__(
            self,
            target: Callable[..., object],
            name: str = "",
            daemon: bool = False,
            args: Any = (),
            kwargs: Any = None,
        ) -> None:
            self.name, self.daemon = name, daemon
            self._call = lambda: target(*args, **(kwargs or {}))
            self._task: _Task | None = None

        def start(self) -> None:
            self._task = hub.begin(hub.running.now, self._call)

        def join(self, timeout: float | None = None) -> None:
            hub.block(lambda: not self.is_alive(), timeout)

        def is_alive(self) -> bool:
            return self._task is not None and not self._task.ended

    class Event:
        def __init__(self) -> None:
            self._is_set = False

        def is_set(self) -> bool:
            return self._is_set

        def set(self) -> None:
            self._is_set = True

        def clear(self) -> None:
            self._is_set = False

        def wait(self, timeout: float | None = None) -> bool:
            return self._is_set or hub.block(lambda: self._is_set, timeout)

    return _Module(threading, Thread=Thread, Event=Event)


def queue_of(hub: Hub) -> Any:
    """Return a stand-in for the module `queue`."""

    class Queue:
        def __init__(self, maxsize: int = 0) -> None:
            self._items: deque[Any] = deque()

        def put(self, item: Any) -> None:
            self._items.append(item)

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            if not self._items and (not block or not hub.block(lambda: bool(self._items), timeout)):
                raise queue.Empty
            return self._items.popleft()

        def get_nowait(self) -> Any:
            return self.get(block=False)

        def empty(self) -> bool:
            return not self._items

        def qsize(self) -> int:
            return len(self._items)

    return _Module(queue, Queue=Queue, SimpleQueue=Queue)


class Executor:
    """Stands in for `ThreadPoolExecutor`: a job is done when it is handed over."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def submit(self, job: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(job(*args, **kwargs))
        except Exception as fault:
            done.set_exception(fault)
        return done

    def shutdown(self, wait: bool = True, **_: Any) -> None:
        return None

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class _Module(SimpleNamespace):
    """A module of which some names are replaced."""

    def __init__(self, real: Any, **names: Any) -> None:
        super().__init__(_real=real, **names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
