"""Stand-ins for `threading`, `queue` and `ThreadPoolExecutor` whose threads are those of a hub."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from benchmarks.faults.world.threads import Hub, Task


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
            self._task: Task | None = None

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

    class Condition:
        def __init__(self, lock: Any = None) -> None:
            self._held, self._told = False, 0

        def __enter__(self) -> Condition:
            hub.block(lambda: not self._held, None)
            self._held = True
            return self

        def __exit__(self, *_: object) -> None:
            self._held = False

        def wait(self, timeout: float | None = None) -> bool:
            told, self._held = self._told, False
            woken = hub.block(lambda: self._told > told, timeout)
            self.__enter__()
            return woken

        def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
            until = None if timeout is None else hub.clock.seconds + timeout
            while not (result := predicate()):
                left = None if until is None else until - hub.clock.seconds
                if left is not None and left <= _SHORTEST_S:
                    break
                self.wait(left)
            return result

        def notify(self, n: int = 1) -> None:
            self._told += 1

        notify_all = notify

    return _Module(threading, Thread=Thread, Event=Event, Condition=Condition)


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


_SHORTEST_S = 1e-6  # less may be nothing beside the time that has passed


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
