"""Ray nodes of our own, on loopback addresses of this machine, with a token and a temporary folder of their own."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from benchmarks.kills.commands import Running, started

_UP_S = 90.0
_STORE_BYTES = 100 * 2**20
_NODE_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_debug_dump_period_milliseconds": "500",  # how often a node writes down what it has received
    "RAY_health_check_period_ms": "1000",  # a frozen node is given up after some 8 s, not after a minute
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
}


class RayNodes:
    """A cluster: `with RayNodes() as nodes: head = nodes.start(cpus=2)`. The first node that is started is its head.

    Args: python: the program with which nodes start their workers and helpers; None: this process's Python.
    Attributes:
        settings: environment variables with which a driver joins: the token among them.
    """

    def __init__(self, python: Path | None = None) -> None:
        self.python = python or Path(sys.executable)
        self.folder = Path(tempfile.mkdtemp(prefix="mr-", dir="/tmp"))  # short: sockets lie in it
        self.token = secrets.token_hex(16)
        self.settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}
        self.nodes: list[RayNode] = []
        self.address = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for node in self.nodes:
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, cpus: int = 1, *, wait: bool = True, inside: Sequence[str] = ()) -> RayNode:
        """Start a node, the first as the head.

        Args: inside: words before its command, such as `unshare --mount`.
        """
        ip = f"{_network()}.{len(self.nodes) + 2}"
        folder = self.folder / str(len(self.nodes))
        words = ["start", "--block", f"--node-ip-address={ip}", f"--num-cpus={cpus}", "--num-gpus=0"]
        words += [f"--temp-dir={folder}"]
        words += [f"--object-store-memory={_STORE_BYTES}", "--disable-usage-stats"]
        if self.address:
            words += [f"--address={self.address}"]
        else:
            port = free_port(ip)
            self.address = f"{ip}:{port}"
            words += ["--head", f"--port={port}", "--include-dashboard=false"]
        run_as = f"import sys; sys.executable = {str(self.python)!r}; from ray.scripts.scripts import main; main()"
        command = [*inside, sys.executable, "-c", run_as, *words]
        node = RayNode(ip, folder, started(command, cwd=self.folder, environment=self._environment(), own_group=True))
        self.nodes.append(node)
        if wait:
            node.wait_until_up()
        return node

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return {**kept, **self.settings, **_NODE_SETTINGS}

    def workers(self) -> list[psutil.Process]:
        """Return the processes that train trials, on every node."""
        return [worker for node in self.nodes for worker in node.workers()]


class RayNode:
    """One node: `ray start --block`, and all that it has started. Args: folder: its temporary folder."""

    def __init__(self, ip: str, folder: Path, process: Running) -> None:
        self.ip, self.folder, self.process = ip, folder, process
        self._received = 0

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + _UP_S
        while "Ray runtime started" not in (said := self.process.output()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the Ray node {self.ip} did not start:\n{said}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill all processes of the node at once, as when a machine is switched off."""
        for member in self._family():
            with suppress(psutil.NoSuchProcess):
                member.kill()
        self.process.kill()
        self.process.wait(30)

    def freeze(self) -> None:
        for member in self._family():
            with suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        for member in self._family():
            with suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGCONT)

    def workers(self) -> list[psutil.Process]:
        return list(trainers(self._family()))

    def received(self) -> int:
        """Count the pieces of objects, of 5 MiB at most, that came from other nodes.

        Ray writes its file anew every half second: one that is read meanwhile says less than the one before.
        """
        texts = [told.read_text() for told in self.folder.glob("session_2*/logs/debug_state.txt")]
        counts = re.findall(r"num chunks received total: (\d+)", "".join(texts))
        self._received = max(self._received, *map(int, counts[:1]), 0)
        return self._received

    def _family(self) -> list[psutil.Process]:
        return family(self.process.pid)


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that descend from it; [] when it has ended."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def trainers(processes: list[psutil.Process]) -> Iterator[psutil.Process]:
    """Yield those of the processes that are workers of a study."""
    for process in processes:
        with suppress(psutil.Error):
            if "Trainable" in " ".join(process.cmdline()):
                yield process


def named(processes: list[psutil.Process], name: str) -> list[psutil.Process]:
    """Return those of the processes whose program has this name, e.g. `raylet` or `gcs_server`."""
    found = []
    for process in processes:
        with suppress(psutil.Error):
            if process.cmdline() and Path(process.cmdline()[0]).name == name:
                found.append(process)
    return found


def _network() -> str:
    """Return the first three bytes of loopback addresses that no other process here gives to its nodes."""
    high, low = divmod(os.getpid(), 250)
    return f"127.{high % 250 + 1}.{low + 1}"


def free_port(ip: str = "127.0.0.1") -> int:
    """Find a port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind((ip, 0))
        return int(probe.getsockname()[1])
