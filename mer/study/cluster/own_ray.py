"""The Ray that this driver has started: when one of its processes dies, the study is stopped in words.

Without its raylet no worker answers, without its GCS none starts. Ray itself waits for up to a minute, during which it
may hold the main thread, and then ends the process with a report of its own and exit code 1.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Self

_NEEDED = ("raylet", "gcs_server")
_LOOK_S = 0.5
_PATIENCE_S = 12.0  # the loop ends in less where Ray still answers it


class RayWatch:
    """Watch Ray's processes from a thread, from the start of the block until `end`, which comes before Ray's own end.

    Args:
        died: called with the name of a process that has died; the block should end then.
        give_up: called when it has not ended some time later: it never will.
    """

    def __init__(self, died: Callable[[str], None], give_up: Callable[[], None]) -> None:
        self.died, self.give_up = died, give_up
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="mer-ray-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            if dead := dead_process():
                self.died(dead)
                if not self._over.wait(_PATIENCE_S):
                    self.give_up()
                return


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

    node = worker._global_node  # also while ray.init waits for its processes
    return {} if node is None else dict(node.all_processes)
