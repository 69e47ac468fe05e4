"""The process of a cell: it takes signals through the command that started it, and ends with it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mer.console import EXIT_INTERRUPTED
from mer.errors import MerError
from mer.read_files import read_bytes

_PARENT = "MER_BENCH_PROCESS"  # variable of the environment: process id of the command whose cell this is
_SIGNAL_WHEN_PARENT_DIES = 1  # PR_SET_PDEATHSIG of Linux
_LARGEST_LOG = 64 * 2**20


def run_process(words: Sequence[str], log: Path) -> int:
    """Run `python -m WORDS`, its output going to a file, and return its exit code.

    Raises: KeyboardInterrupt when this process or that one was asked to end, once that one has.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        # a group of its own: Ctrl-C reaches this process alone, which hands it on once
        process = subprocess.Popen(
            [sys.executable, "-m", *words], stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
            process_group=0, env=os.environ | {_PARENT: str(os.getpid())},
        )  # fmt: skip
        is_stopped = False
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                is_stopped = True
                with contextlib.suppress(OSError):
                    process.send_signal(signal.SIGTERM)
    if is_stopped or code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    return code


def end_with_parent() -> None:
    """End this process with the one that started it by `run_process`, also where that one is killed; Linux alone can.

    Elsewhere the cell would run to its end, and the command, typed again meanwhile, says that it is being worked on.
    """
    parent = os.environ.pop(_PARENT, "")
    if not parent or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_SIGNAL_WHEN_PARENT_DIES, signal.SIGKILL, 0, 0, 0)
    if str(os.getppid()) != parent:  # it died before this was asked for
        os.kill(os.getpid(), signal.SIGKILL)


def why_failed(log: Path, code: int) -> str:
    """Say why a cell failed: the message it ended with, else how its process ended."""
    try:
        text = read_bytes(log, largest=_LARGEST_LOG).decode("utf-8", "replace")
    except (OSError, MerError):
        text = ""
    found = re.split(r"^error: ", text, flags=re.MULTILINE)
    if len(found) > 1:
        return found[-1].strip()
    how = f"its process was killed (signal {-code})" if code < 0 else f"its process ended with code {code}"
    return f"{how}; see {log}" if code else f"it ended without a result; see {log}"
