"""Watch the sockets of a process and of everything that it starts."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field

import psutil

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@dataclass
class Seen:
    """What was seen: (name of the process, address, port)."""

    listening: set[tuple[str, str, int]] = field(default_factory=set)
    connected: set[tuple[str, str, int]] = field(default_factory=set)
    processes: set[int] = field(default_factory=set)

    def beyond(self) -> tuple[set[tuple[str, str, int]], set[tuple[str, str, int]]]:
        """What listens on other addresses than this machine's own, and what reaches for others."""
        return tuple({one for one in some if one[1] not in LOOPBACK} for some in (self.listening, self.connected))  # type: ignore[return-value]


@contextlib.contextmanager
def watched(pid: int, every_s: float = 0.05):
    """Look at the sockets of a process and its descendants all the time of the block. Yields what was seen."""
    seen, done = Seen(), threading.Event()

    def look() -> None:
        while not done.is_set():
            with contextlib.suppress(psutil.Error):
                _look(pid, seen)
            time.sleep(every_s)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def _look(pid: int, seen: Seen) -> None:
    root = psutil.Process(pid)
    names = {}
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            names[process.pid] = " ".join(process.cmdline()[:3])
    seen.processes |= names.keys()
    for one in psutil.net_connections("inet"):
        if one.pid not in names and one.pid not in seen.processes:
            continue
        name = names.get(one.pid, "")
        if one.status == psutil.CONN_LISTEN or (not one.raddr and one.laddr):
            seen.listening.add((name, one.laddr.ip, one.laddr.port))
        elif one.raddr:
            seen.connected.add((name, one.raddr.ip, one.raddr.port))
