"""The process that reads hostile inputs one after another, within bounds of memory, and says how each ended.

    python tests/hostile/hostile_worker.py FD     # jobs {"door", "path"} on stdin, answers on FD, one a line

What libraries print goes to stderr. A worker that hangs or dies is replaced by hostile_run.py.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

MOST_BYTES = 2**30  # of memory beyond what the worker has at its start


def main() -> None:
    answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    os.dup2(2, 1)
    from hostile_door import all_doors

    doors = all_doors()
    bound = _status("VmSize") + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    print(json.dumps({"ready": len(doors)}), file=answers, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(handle(doors[job["door"]].read, Path(job["path"]))), file=answers, flush=True)


def handle(read: Any, path: Path) -> dict[str, Any]:
    """Let a door read one input; return outcome, message, seconds of CPU and MB of memory at its peak."""
    from mer.console import explain_os_error
    from mer.errors import MerError
    from mer.terminal.escapes import neutral

    before = _forget_peak()
    started = time.process_time()
    outcome, message = "accepted", ""
    try:
        read(path)
    except MerError as fault:
        outcome, message = "refused", fault.message
    except AssertionError as fault:
        outcome, message = "wrong", str(fault)[:2000] or _place(fault)
    except OSError as fault:
        outcome, message = "refused", explain_os_error(fault).message
    except BaseException as fault:
        outcome, message = "unexpected", f"{type(fault).__name__}: {str(fault)[:500]} {_place(fault)}"
    seconds = time.process_time() - started
    message = neutral(message)  # as a command prints it
    peak_mb = max(0, _status("VmHWM") - before) / 2**20
    return {"outcome": outcome, "message": message, "seconds": seconds, "peak_mb": peak_mb}


def _place(fault: BaseException) -> str:
    """Name the last line of ours that the fault passed."""
    place, trace = "", fault.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "site-packages" not in code.co_filename and "/lib/python" not in code.co_filename:
            place = f"at {Path(code.co_filename).name}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    return place


def _forget_peak() -> int:
    """Let the kernel measure the peak from now on; return the memory that is resident now, in bytes."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return _status("VmHWM")  # no such luck: only what goes above the former peak is seen
    return _status("VmRSS")


def _status(name: str) -> int:
    """Read a size from /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


if __name__ == "__main__":
    main()
