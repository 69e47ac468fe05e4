"""Ray workers, and Ray's own Python programs, forked from processes that have imported what they need.

Ray starts its workers and its helpers (two monitors, dashboard, two agents) with the Python that it runs on. A program
that stands in for this Python hands their commands to one of two servers, which forks; everything else it passes to the
real Python. A worker then costs 0.7 s of CPU time, not 4. A forked worker is a process like any other: Ray knows it by
its id, and it can be killed and frozen.

A worker imports Ray itself, which reads at that moment which job the worker is for. A helper finds Ray imported, and
ends with its stand-in, or with the raylet that has started it.
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
import threading
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.kills.fork_server import reread_ray_settings
from benchmarks.kills.ray_nodes import family
from mer.console import quiet_libraries

# Kind of server -> how the paths of the programs end that it runs.
_PROGRAMS = {
    "workers": ("/workers/default_worker.py",),
    "helpers": (
        "/_private/log_monitor.py", "/_private/monitor.py", "/dashboard/dashboard.py", "/dashboard/agent.py",
        "/runtime_env/agent/main.py",
    ),
}  # fmt: skip
_IMPORTED = {
    "workers": (
        "torch", "pandas", "pyarrow.dataset", "google.protobuf.json_format", "requests", "aiohttp", "jsonschema",
        "fsspec", "tensorboardX", "msgpack", "rich.live", "yaml", "mer.training.folds", "mer.training.packed",
        "mer.features", "mer.checkpoints.proven", "mer.models", "mer.losses",
    ),
    "helpers": (
        "ray", "aiohttp", "aiohttp.web", "ray.dashboard.dashboard", "ray.dashboard.agent", "ray._private.log_monitor",
        "ray._private.runtime_env.agent.runtime_env_agent", "ray.autoscaler._private.monitor",
    ),
}  # fmt: skip
_STAND_IN = """#!{python} -ISs
import json, os, signal, socket, sys
words = sys.argv[1:]
doors = [door for end, door in {doors!r} if any(word.endswith(end) for word in words)]
if not doors:
    os.execv({python!r}, [{python!r}, *words])
blocked = [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])]
asked = dict(words=words, environment=dict(os.environ), cwd=os.getcwd(), blocked=blocked)
with socket.socket(socket.AF_UNIX) as door:
    door.connect(doors[0])
    request = json.dumps(asked).encode()
    socket.send_fds(door, [len(request).to_bytes(8, "big")], [1, 2])
    door.sendall(request)
    door.recv(1)  # nothing comes: it is closed when the forked process ends
"""


class ForkedWorkers:
    """The servers and the stand-ins: `with ForkedWorkers() as workers:`.

    Attributes:
        python: the program that stands in for Python.
        helpers_python: another one, which leaves workers to the real Python.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mf-", dir="/tmp")  # short: sockets lie in it
        folder = Path(self._folder.name)
        self.python = _stand_in(folder / "python", "workers", "helpers")
        self.helpers_python = _stand_in(folder / "python-of-helpers", "helpers")
        self._servers = {kind: _started(kind, folder / kind) for kind in _PROGRAMS}
        for kind, server in self._servers.items():
            assert server.stdout is not None
            if server.stdout.readline() != "ready\n":
                raise RuntimeError(f"the server that forks Ray's {kind} did not start")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for server in self._servers.values():
            assert server.stdin is not None
            for member in family(server.pid)[1:]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            server.stdin.close()
            server.wait(30)
        self._folder.cleanup()

    def members(self) -> list[psutil.Process]:
        """Return the workers that live."""
        return family(self._servers["workers"].pid)[1:]

    def helpers(self) -> list[psutil.Process]:
        """Return the helpers that live: five for each Ray of a driver's own."""
        return family(self._servers["helpers"].pid)[1:]


def _stand_in(path: Path, *kinds: str) -> Path:
    """Write a stand-in for Python, which asks the servers of some kinds."""
    doors = [(end, str(path.with_name(kind))) for kind in kinds for end in _PROGRAMS[kind]]
    path.write_text(_STAND_IN.format(python=sys.executable, doors=doors), encoding="utf-8")
    path.chmod(0o700)
    return path


def _started(kind: str, door: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.kills.worker_fork", kind, str(door)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # as Ray gives a worker of one CPU; torch reads it once
    )  # fmt: skip


def _serve(kind: str, path: str) -> tuple[socket.socket, dict[str, Any]] | None:
    """Fork for each request. Returns None when there are no more; in a forked process, its request."""
    for name in _IMPORTED[kind]:
        importlib.import_module(name)
    if kind == "helpers":
        _import_modules_of_the_dashboard()
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


def _import_modules_of_the_dashboard() -> None:
    """Import what dashboard and agent look through for their modules."""
    from ray.dashboard.utils import DashboardAgentModule, get_all_modules

    get_all_modules(DashboardAgentModule)


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
    """Take the place of the process that Ray has asked for."""
    os.setsid()  # Ray kills the process group of a worker that has ended
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])


def _work(words: list[str]) -> None:
    """Run a worker's command in this process, as Ray's setup_worker.py does."""
    from ray._private.runtime_env.context import RuntimeEnvContext
    from ray._private.utils import update_envs
    from ray._private.workers.setup_worker import parser

    asked, rest = parser.parse_known_args([word for word in words if not word.endswith("setup_worker.py")])
    update_envs(RuntimeEnvContext.deserialize(asked.serialized_runtime_env_context or "{}").env_vars)
    sys.argv = rest
    runpy.run_path(rest[0], run_name="__main__")


def _help(words: list[str], talk: socket.socket) -> None:
    """Run one of Ray's programs in this process."""
    raylet = os.environ.get("RAY_RAYLET_PID")
    if raylet is not None:
        os.environ["RAY_RAYLET_PID"] = str(os.getppid())  # an agent looks whether this is its parent
    threading.Thread(target=_end_with, args=(talk, raylet and int(raylet)), daemon=True).start()
    reread_ray_settings()
    sys.argv = words[words[0].startswith("-") :]  # without -u
    runpy.run_path(sys.argv[0], run_name="__main__")


def _end_with(talk: socket.socket, raylet: int | None) -> None:
    """End this process when its stand-in has ended, or the raylet that has started it."""
    while not select.select([talk], [], [], 0.5)[0]:
        if raylet is not None and not _lives(raylet):
            break
    os._exit(0)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    quiet_libraries()
    asked_kind, asked_path = sys.argv[1:]
    asked_for = _serve(asked_kind, asked_path)
    if asked_for is not None:
        held, request = asked_for  # open until this process ends
        _become(request)
        if asked_kind == "helpers":
            _help(request["words"], held)
        else:
            _work(request["words"])
