"""The Ray that this driver has started: when one of its processes dies, the study is stopped in words.

Without its raylet no worker answers, without its GCS none starts. Ray itself waits for up to a minute, during which it
may hold the main thread, and then ends the process with a report of its own and exit code 1.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_NEEDED = ("raylet", "gcs_server")
_LOOK_S = 0.5
_PATIENCE_S = 12.0  # the loop ends in less where Ray still answers it


@contextmanager
def watched_ray(died: Callable[[str], None], give_up: Callable[[], None]) -> Iterator[None]:
    """Watch Ray's processes from a thread while the block runs.

    Args:
        died: called with the name of a process that has died; the block should end then.
        give_up: called when it has not ended some time later: it never will.
    """
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_S):
            if dead := dead_process():
                died(dead)
                if not over.wait(_PATIENCE_S):
                    give_up()
                return

    watcher = threading.Thread(target=look, name="mer-ray-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def dead_process() -> str:
    """Name a process of this driver's Ray that has died; "" while all live, and when Ray was not started here."""
    for kind, processes in started_processes().items():
        if kind in _NEEDED and any(one.process.poll() is not None for one in processes):
            return kind
    return ""


def started_processes() -> dict[str, list[Any]]:
    """Return the processes that ray.init has started, by kind. Ray has no public name for them."""
    if "ray" not in sys.modules:
        return {}
    from ray._private import worker

    node = worker.global_worker.node
    return {} if node is None else dict(node.all_processes)
