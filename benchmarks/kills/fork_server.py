"""A process that has imported what commands import, and forks one for each: a start costs 0.1 s instead of 6 s.

The command's process is a child of this one: it can be killed like any other, and has the modules of a fresh process
but for the time it takes to import them. Nothing of Ray, MLflow or torch is started before the fork.
"""

from __future__ import annotations

import errno
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.kills.commands import Running, output_file
from mer.console import quiet_libraries

_IMPORTED = (
    "ray", "ray.tune", "ray.tune.tuner", "torch", "optuna", "mlflow", "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.db.utils", "typer", "rich.live", "scipy.stats", "mer.study.runner", "mer.study.cluster.tune_hooks",
    "mer.study.space.load", "trainables.cached",
)  # fmt: skip


_STARTS = 3
WORKERS_PYTHON = "KILLS_PYTHON"  # variable of the environment: with this program a command's Ray starts its workers


class ForkServer:
    """Starts commands by forking. It is a `Starter`.

    Args:
        environment: of the server, for what libraries read when they are imported.
        workers_python: with this program the Ray that a command starts starts its workers; None: with the usual one.
    """

    def __init__(self, environment: Mapping[str, str], workers_python: Path | None = None) -> None:
        self._workers = {WORKERS_PYTHON: str(workers_python)} if workers_python else {}
        words = [sys.executable, "-m", "benchmarks.kills.fork_server"]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(environment)
        )

    def __call__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        own_group: bool = False,
    ) -> Running:
        output = output_file()
        pid = self._ask(
            module=module, arguments=list(arguments), cwd=str(cwd), environment=self._workers | dict(environment),
            output=str(output), own_group=own_group,
        )["pid"]  # fmt: skip
        return Running(pid, lambda: self._ask(poll=pid)["code"], output)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))


def _serve() -> dict[str, Any] | None:
    """Answer requests. Returns None when there are no more; in a forked process, the request that it is to follow."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what an import prints is no answer
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    codes: dict[int, int] = {}
    for line in requests:
        request = json.loads(line)
        if (asked := request.get("poll")) is None:
            if (pid := os.fork()) == 0:
                os.close(requests.fileno())
                os.close(answers.fileno())
                return dict(request)
            answer: dict[str, Any] = {"pid": pid}
        else:
            if asked not in codes and (found := os.waitpid(asked, os.WNOHANG)) != (0, 0):
                codes[asked] = os.waitstatus_to_exitcode(found[1])
            answer = {"code": codes.get(asked)}
        print(json.dumps(answer), file=answers, flush=True)
    return None


def _become(request: dict[str, Any]) -> None:
    """Run the command of a request in this process."""
    if request["own_group"]:
        os.setsid()
    output = os.open(request["output"], os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]  # as `python -m` has it
    sys.argv = [request["module"], *request["arguments"]]
    sys.executable = os.environ.get(WORKERS_PYTHON, sys.executable)
    quiet_libraries()  # as the command will: before Ray is asked anything
    _start_scripts_again()
    reread_ray_settings()
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def _start_scripts_again() -> None:
    """Let a process be started again where the kernel answers EFAULT to a script with #!.

    Some virtual machines do so now and then (seen twice in a hundred studies): then the stand-in for Python, which is
    such a script, could not be started. Nobody else's Python is a script.
    """
    start = subprocess.Popen.__init__

    def patient(self: subprocess.Popen[Any], *args: Any, **options: Any) -> None:
        for _ in range(_STARTS):
            try:
                return start(self, *args, **options)
            except OSError as fault:
                if fault.errno != errno.EFAULT:
                    raise
        return start(self, *args, **options)

    subprocess.Popen.__init__ = patient  # type: ignore[method-assign]


def reread_ray_settings() -> None:
    """Read again what Ray reads from the environment when it is imported: where it listens, and its token."""
    from ray._private import ray_constants
    from ray._raylet import AuthenticationTokenLoader, Config

    clusters = os.environ.get(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, "1")
    ray_constants.ENABLE_RAY_CLUSTER = clusters.lower() in ("1", "true")
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


if __name__ == "__main__":
    quiet_libraries()
    asked_for = _serve()
    if asked_for is not None:
        _become(asked_for)
