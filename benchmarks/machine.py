"""Describe the machine, and say how much of it others used while something was measured.

Others: every process that the measured command did not start. Their CPU time is that of the whole machine (/proc/stat)
less our own: this process, its descendants, and descendants whose parents have gone (Ray's daemons and workers).
"""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

MOST_OTHERS = 0.1  # share of the machine's CPU time; above it the machine is not quiet and ratios would mislead
_LOOK_S = 0.5
_UNSURE_S = 0.03  # the kernel counts CPU time in steps of 0.01 s, in several places
_MARK = "MER_BENCHMARK_RUN"  # inherited by all that the measured command starts
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def describe() -> dict[str, Any]:
    """Cores, processor, memory, versions and GPU as JSON-able data."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cores": os.cpu_count(),
        "processor": _field(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": gpu,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def load() -> float:
    """Processes that wanted a core, mean of the last minute."""
    return round(os.getloadavg()[0], 2)


class Process(NamedTuple):
    """One process as /proc/PID/stat tells it.

    Args:
        identity: number and start, which no other process has.
        parent: number of its parent.
        own_s: CPU time of the process itself, seconds.
        waited_s: CPU time of descendants that have ended and were waited for, seconds.
    """

    identity: tuple[int, int]
    parent: int
    own_s: float
    waited_s: float


def processes() -> list[Process]:
    """All processes of this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:  # it has just ended
            continue
        fields = text[text.rindex(")") + 2 :].split()
        own, waited = (sum(int(ticks) for ticks in fields[i : i + 2]) / _TICKS_PER_S for i in (11, 13))
        found.append(Process((int(path.parent.name), int(fields[19])), int(fields[1]), own, waited))
    return found


def busy_s() -> float:
    """CPU time that all processes and the kernel have used since the machine's start; stolen time counts, seconds."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text(encoding="utf-8").split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S


class OwnTime:
    """Adds up the CPU time of a process and of all that it starts, from the first look on.

    Ours is what descends from the process, also when its parent has gone; and what inherited the mark, since a daemon
    that Ray or a server detaches may have lost its parent before anybody looked.

    Args:
        root: number of the process.
        now: all processes as measuring begins; what they have used by then does not count.
        mark: `NAME=value` in the environment of all that the process starts; "" for none.
    """

    def __init__(self, root: int, now: list[Process], mark: str = "") -> None:
        self.root, self.mark = root, mark.encode()
        self.seen: dict[tuple[int, int], Process] = {}
        self._strangers: set[tuple[int, int]] = set()
        self.look(now)
        self._before = dict(self.seen)

    def look(self, now: list[Process]) -> None:
        """Take in what the processes have used by now. Called often: what starts and ends in between is missed unless
        its parent waits for it."""
        ours = {process.identity[0] for process in now if process.identity in self.seen} | {self.root}
        ours |= {process.identity[0] for process in now if process.identity[0] not in ours and self._is_marked(process)}
        while fresh := {p.identity[0] for p in now if p.parent in ours} - ours:
            ours |= fresh
        self.seen.update({process.identity: process for process in now if process.identity[0] in ours})

    def seconds(self, now: list[Process]) -> float:
        """CPU time between the first look and the last one.

        What a parent has waited for counts as far as it is more than what was seen of its ended children.
        """
        alive = {process.identity for process in now}
        ended: dict[int, list[Process]] = defaultdict(list)
        for process in self.seen.values():
            if process.identity not in alive:
                ended[process.parent].append(process)

        def whole(process: Process) -> float:
            below = sum(whole(child) for child in ended[process.identity[0]])
            if before := self._before.get(process.identity):
                process = process._replace(
                    own_s=process.own_s - before.own_s, waited_s=process.waited_s - before.waited_s
                )
            return process.own_s + max(process.waited_s, below)

        tops = [p for p in self.seen.values() if p.identity in alive or not self._has_parent(p)]
        return sum(whole(process) for process in tops)

    def _has_parent(self, process: Process) -> bool:
        return any(identity[0] == process.parent for identity in self.seen)

    def _is_marked(self, process: Process) -> bool:
        if not self.mark or process.identity in self._strangers:
            return False
        try:
            environment = Path(f"/proc/{process.identity[0]}/environ").read_bytes().split(b"\0")
        except OSError:  # it has just ended, or is another user's
            environment = []
        if self.mark not in environment:  # a process keeps its first environment: it need not be read again
            self._strangers.add(process.identity)
        return self.mark in environment


@dataclass(frozen=True)
class Use:
    """How long something took and how much of the machine others used meanwhile.

    Args:
        seconds: wall time.
        others: their CPU time over wall time and cores, 0 to 1.
    """

    seconds: float
    others: float

    @property
    def is_quiet(self) -> bool:
        return self.others <= MOST_OTHERS


def watch(action: Callable[[], Any]) -> tuple[Any, Use]:
    """Call `action`, and look at all processes twice a second meanwhile. Returns its result and the use."""
    over, mark = threading.Event(), uuid.uuid4().hex
    busy_before, started = busy_s(), time.monotonic()
    own = OwnTime(os.getpid(), processes(), f"{_MARK}={mark}")

    def look() -> None:
        while not over.wait(_LOOK_S):
            own.look(processes())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    os.environ[_MARK] = mark
    try:
        result = action()
    finally:
        del os.environ[_MARK]
        over.set()
        watcher.join()
    own.look(last := processes())
    seconds, busy = time.monotonic() - started, busy_s() - busy_before
    others = max(0.0, busy - own.seconds(last) - _UNSURE_S) / max(seconds, 1e-9) / (os.cpu_count() or 1)
    return result, Use(seconds, others)


def _field(path: Path, name: str) -> str:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
