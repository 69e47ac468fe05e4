"""Say that Ray's GCS has died while the driver connects to it, in a process of its own.

Ray's connecting holds the interpreter, so no thread of the driver can speak meanwhile; after a minute Ray ends the
driver by itself, with a report of its own. This file is run as a program, without anything of ours: that takes 15 ms.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

GCS = "gcs_server"
_LOOK_S, _PATIENCE_S = 0.25, 4.0  # the driver ends by itself in less where it can


@contextlib.contextmanager
def guarded(words: str) -> Iterator[None]:
    """Watch this process's GCS during the block, and end the process with these words where it hangs on a dead one."""
    program = [sys.executable, "-I", "-S", __file__, str(os.getpid()), words]
    guard = subprocess.Popen(program, stdin=subprocess.PIPE, start_new_session=True)
    assert guard.stdin is not None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            guard.stdin.close()
        guard.wait()


def _watch(driver: int, words: str) -> None:
    server, dead_since = 0, 0.0
    while not select.select([sys.stdin], [], [], _LOOK_S)[0]:
        if not server:
            server = _child(driver)
        elif not dead_since and _state(server)[1] in "ZX":
            dead_since = time.monotonic()
        elif dead_since and time.monotonic() - dead_since > _PATIENCE_S:
            print(words, file=sys.stderr, flush=True)
            with contextlib.suppress(ProcessLookupError):
                os.kill(driver, signal.SIGKILL)
            return


def _child(parent: int) -> int:
    """Find the GCS that a process has started; 0 while there is none."""
    for entry in Path("/proc").glob("[0-9]*"):
        name, _, its_parent = _state(int(entry.name))
        if name == GCS and its_parent == parent:
            return int(entry.name)
    return 0


def _state(pid: int) -> tuple[str, str, int]:
    """Return name, state and parent of a process; the state is X where there is none."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").partition("(")[2].rpartition(")")
    except OSError:
        return "", "X", 0
    state, parent = rest.split()[:2]
    return name, state, int(parent)


if __name__ == "__main__":
    _watch(int(sys.argv[1]), sys.argv[2])
