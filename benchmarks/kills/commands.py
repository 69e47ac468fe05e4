"""Commands as processes of their own, whose output goes to a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Running:
    """A command that was started, with the methods of `subprocess.Popen` that tests use.

    Args:
        pid: of its process.
        poll: returns the exit code, negative for a signal, or None while it runs.
        output: the file that takes its standard output and error.
    """

    def __init__(self, pid: int, poll: Callable[[], int | None], output: Path) -> None:
        self.pid, self._poll, self.output_file = pid, poll, output
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._poll()
        return self.returncode

    def wait(self, timeout: float = 240) -> int:
        """Wait for its end; kill it when that takes longer than `timeout` seconds. Raises: TimeoutError."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"still running after {timeout:g} s:\n{self.output()}")
            time.sleep(0.02)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float = 240) -> tuple[str, None]:
        self.wait(timeout)
        return self.output(), None

    def output(self) -> str:
        return self.output_file.read_text(encoding="utf-8", errors="replace")

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Starter(Protocol):
    """Starts `python -m MODULE ARGUMENTS`."""

    def __call__(
        self, module: str, arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str], own_group: bool
    ) -> Running: ...


def typed(
    module: str, arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str], own_group: bool = False
) -> Running:
    """Start the command as a shell does. A `Starter`."""
    return started([sys.executable, "-m", module, *arguments], cwd=cwd, environment=environment, own_group=own_group)


def started(words: Sequence[str], *, cwd: Path, environment: Mapping[str, str], own_group: bool = False) -> Running:
    """Start a program by its words."""
    output = output_file()
    with output.open("wb") as stream:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, cwd=cwd,
            env=dict(environment), start_new_session=own_group,
        )  # fmt: skip
    return Running(process.pid, process.poll, output)


def output_file() -> Path:
    """Make an empty file for the output of a command, in the temporary folder of this process."""
    handle, name = tempfile.mkstemp(prefix="mer-output-", suffix=".txt")
    os.close(handle)
    return Path(name)
