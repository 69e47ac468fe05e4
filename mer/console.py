"""Run commands: quiet libraries, one message per fault, exit code 0 only for success."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mer.errors import MerError
from mer.read_files import NoRegularFile
from mer.terminal.endings import interrupted_by_signals
from mer.terminal.escapes import neutral
from mer.terminal.streams import LastingStream, lasting_streams

if TYPE_CHECKING:
    from rich.console import Console

# Set before any of these libraries is imported; Ray workers inherit them through the runtime environment.
QUIET_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9/",  # `ray start` reports even that it reports nothing
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "DO_NOT_TRACK": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(2**25),  # as mer.data.media.demux.MOST_PIXELS, before memory is taken
}

# Ray listens on every interface unless it believes that it cannot form a cluster; read when ray is imported.
RAY_ON_LOOPBACK = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

NO_HOME = "/nonexistent"
EXIT_FAULT, EXIT_UNEXPECTED, EXIT_INTERRUPTED = 2, 1, 130


def quiet_libraries() -> None:
    """Switch off phone-home and noise, and keep a private Ray on 127.0.0.1, unless the user says otherwise."""
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if os.path.expanduser("~") == "~":  # noqa: PTH111 - a user without an entry, and HOME unset: libraries would refuse
        os.environ["HOME"] = NO_HOME
    if not any(word == "--address" or word.startswith("--address=") for word in sys.argv):
        os.environ.setdefault(*RAY_ON_LOOPBACK)


def run(command: Callable[[], object], then: str = "") -> None:
    """Run a command; turn what goes wrong into one message and an exit code. `--debug` shows the traceback.

    Signals that ask for an end, and a reader of the output that has gone (`| head`), interrupt it.

    Args: then: how to go on after an interruption; a command that says so itself raises a subclass of
        KeyboardInterrupt.
    """
    quiet_libraries()
    with lasting_streams() as output:
        code = _code_of(command, output, then)
    if code:
        sys.exit(code)


def _code_of(command: Callable[[], object], output: LastingStream, then: str) -> int:
    debug = "--debug" in sys.argv
    try:
        with interrupted_by_signals():
            command()
            output.flush()
    except KeyboardInterrupt as stop:
        if not output.has_gone:
            _say(f"interrupted\n  next: {then}" if then and type(stop) is KeyboardInterrupt else "interrupted")
        return EXIT_INTERRUPTED
    except MerError as fault:
        if debug:
            _say(traceback.format_exc())
        _say(f"error: {fault.message}")
        return EXIT_FAULT
    except OSError as fault:
        if debug:
            _say(traceback.format_exc())
        _say(f"error: {explain_os_error(fault).message}")
        return EXIT_FAULT
    except Exception as fault:
        if debug:
            _say(traceback.format_exc())
        _say(f"error: unexpected {type(fault).__name__}: {fault}\n  next: run it again with --debug, and report it")
        return EXIT_UNEXPECTED
    return 0


def page(**options: Any) -> Console:
    """Make the rich console on which a command prints its results; the options are those of `Page.on`."""
    from mer.terminal.page import Page  # rich takes a while: not for --help

    return Page.on(sys.stdout, **options)


def explain_os_error(fault: OSError) -> MerError:
    """Put the operating system's refusal into words that a user can act on."""
    where = fault.filename or "file system"
    advice = {
        errno.ENOSPC: "free some space (`python -m mer.features gc` drops unused caches), then run the same command",
        errno.EDQUOT: "your quota is used up: free some space, then run the same command",
        errno.EACCES: "choose a folder you may write to, or mend its permissions",
        errno.EPERM: "choose a folder you may write to, or mend its permissions",
        errno.EROFS: "the file system is read-only: choose another folder",
        errno.ENOENT: "check the path",
        errno.ENOTDIR: "check the path",
    }
    if isinstance(fault, NoRegularFile):
        return MerError(where, str(fault.strerror), allowed="a regular file", then="put the file itself there")
    reason = os.strerror(fault.errno) if fault.errno else str(fault)
    return MerError(where, reason, then=advice.get(fault.errno or 0, "run again with --debug to see where it happened"))


def _say(text: str) -> None:
    print(neutral(text), file=sys.stderr, flush=True)
