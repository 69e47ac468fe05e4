"""Run commands: quiet libraries, one message per fault, exit code 0 only for success."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from mer.errors import MerError

if TYPE_CHECKING:
    from rich.console import Console

# Set before any of these libraries is imported; Ray workers inherit them through the runtime environment.
QUIET_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "DO_NOT_TRACK": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}

# Ray listens on every interface unless it believes that it cannot form a cluster; read when ray is imported.
RAY_ON_LOOPBACK = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

EXIT_FAULT, EXIT_UNEXPECTED, EXIT_INTERRUPTED = 2, 1, 130


def quiet_libraries() -> None:
    """Switch off phone-home and noise, and keep a private Ray on 127.0.0.1, unless the user says otherwise."""
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not any(word == "--address" or word.startswith("--address=") for word in sys.argv):
        os.environ.setdefault(*RAY_ON_LOOPBACK)


def run(command: Callable[[], object]) -> None:
    """Run a command; turn what goes wrong into one message and an exit code. `--debug` shows the traceback."""
    quiet_libraries()
    debug = "--debug" in sys.argv
    try:
        command()
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except MerError as fault:
        if debug:
            traceback.print_exc()
        _say(f"error: {fault.message}")
        sys.exit(EXIT_FAULT)
    except BrokenPipeError:  # the reader of our output has gone, e.g. `| head`
        sys.stderr.close()
        sys.exit(EXIT_UNEXPECTED)
    except OSError as fault:
        if debug:
            traceback.print_exc()
        _say(f"error: {explain_os_error(fault).message}")
        sys.exit(EXIT_FAULT)
    except Exception as fault:
        if debug:
            raise
        _say(f"error: unexpected {type(fault).__name__}: {fault}\n  next: run it again with --debug, and report it")
        sys.exit(EXIT_UNEXPECTED)


def page() -> Console:
    """Make the rich console on which a command prints its results.

    Nothing in square brackets is markup: names, labels and options that a user typed hold some. A file or a pipe has no
    width: tables are not folded at 80 columns there.
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=160)


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
    reason = os.strerror(fault.errno) if fault.errno else str(fault)
    return MerError(where, reason, then=advice.get(fault.errno or 0, "run again with --debug to see where it happened"))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
