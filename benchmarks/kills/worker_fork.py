"""Ray workers that are forked from a process which has imported all but Ray: a start costs 0.7 s of CPU time, not 4.

Ray starts its workers with the Python that it runs on. A program that stands in for this Python hands the worker's
command to a server, which forks; everything else it passes to the real Python. A forked worker is a process like any
other: Ray knows it by its id, and it can be killed and frozen. It imports Ray itself, which reads at that moment which
job the worker is for.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.kills.ray_nodes import family
from mer.console import quiet_libraries

_IMPORTED = (
    "torch", "pandas", "pyarrow.dataset", "google.protobuf.json_format", "requests", "aiohttp", "jsonschema", "fsspec",
    "tensorboardX", "msgpack", "rich.live", "yaml", "mer.training.folds", "mer.training.packed", "mer.features",
    "mer.checkpoints.proven", "mer.models", "mer.losses",
)  # fmt: skip
_STAND_IN = """#!{python} -ISs
import json, os, signal, socket, sys
words = sys.argv[1:]
if not any(word.endswith("default_worker.py") for word in words):
    os.execv({python!r}, [{python!r}, *words])
blocked = [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])]
asked = dict(words=words, environment=dict(os.environ), cwd=os.getcwd(), blocked=blocked)
with socket.socket(socket.AF_UNIX) as door:
    door.connect({door!r})
    request = json.dumps(asked).encode()
    socket.send_fds(door, [len(request).to_bytes(8, "big")], [1, 2])
    door.sendall(request)
    door.recv(1)  # nothing comes: it is closed when the worker ends
"""


class ForkedWorkers:
    """The server and the stand-in: `with ForkedWorkers() as workers:`.

    Attributes: python: the program that stands in for Python.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mf-", dir="/tmp")  # short: a socket lies in it
        door, self.python = (Path(self._folder.name) / name for name in ("door", "python"))
        self.python.write_text(_STAND_IN.format(python=sys.executable, door=str(door)), encoding="utf-8")
        self.python.chmod(0o700)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.kills.worker_fork", str(door)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},  # as Ray gives a worker of one CPU; torch reads it once
        )  # fmt: skip
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the server that forks workers did not start")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        for member in self.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self._process.stdin.close()
        self._process.wait(30)
        self._folder.cleanup()

    def members(self) -> list[psutil.Process]:
        """Return the workers that live."""
        return family(self._process.pid)[1:]


def _serve(path: str) -> tuple[socket.socket, dict[str, Any]] | None:
    """Fork for each request. Returns None when there are no more; in a forked process, its request."""
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen(16)
    print("ready", flush=True)
    while sys.stdin not in select.select([door, sys.stdin], [], [])[0]:
        talk, _ = door.accept()
        if os.fork() == 0:
            door.close()
            return talk, _heard(talk)
        talk.close()
    return None


def _heard(talk: socket.socket) -> dict[str, Any]:
    """Read a request, and take the streams that come with it."""
    size, streams, _, _ = socket.recv_fds(talk, 8, 2)
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream, number)
        os.close(stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with talk.makefile("rb") as stream:
        return dict(json.loads(stream.read(int.from_bytes(size, "big"))))


def _become(request: dict[str, Any]) -> None:
    """Run a worker's command in this process, as Ray's setup_worker.py does."""
    os.setsid()  # Ray kills the process group of a worker that has ended
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    from ray._private.runtime_env.context import RuntimeEnvContext
    from ray._private.utils import update_envs
    from ray._private.workers.setup_worker import parser

    asked, rest = parser.parse_known_args([word for word in request["words"] if not word.endswith("setup_worker.py")])
    update_envs(RuntimeEnvContext.deserialize(asked.serialized_runtime_env_context or "{}").env_vars)
    sys.argv = rest
    runpy.run_path(rest[0], run_name="__main__")


if __name__ == "__main__":
    quiet_libraries()
    asked_for = _serve(sys.argv[1])
    if asked_for is not None:
        held, request = asked_for  # open until this worker ends
        _become(request)
