"""Allow one driver per study: a file lock that ends with its process, and a note of who holds it."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import Timeout

from mer.errors import MerError
from mer.files import write_json
from mer.locks import acquire, marker
from mer.read_files import read_object
from mer.redaction import words_without_secrets
from mer.study.paths import lock_file, owner_file
from mer.terminal.commands import quoted

_PATIENCE_S = 0.3  # somebody who only looks whether the lock is free has it for a moment


@contextlib.contextmanager
def study_lock(studies: Path, study: str) -> Iterator[None]:
    """Hold the lock of one study. Raises MerError naming the owner when a live driver has it.

    Says so where the file system has no locks: a file stands for the lock there.
    """
    is_new = not studies.exists()
    studies.mkdir(parents=True, exist_ok=True)
    lock, owner = lock_file(studies, study), owner_file(studies, study)
    try:
        held = acquire(lock, timeout_s=_PATIENCE_S)
    except Timeout:
        raise _locked(studies, study) from None
    if held.makeshift:
        stands = f"{marker(lock)} keeps other drivers away"
        print(f"note: no locks on this file system: {stands}; do not remove it", file=sys.stderr, flush=True)
    try:
        write_json(owner, {**_this_process(), "since": time.ctime()})
        yield
    finally:
        owner.unlink(missing_ok=True)
        if not (studies / study).exists():  # it was refused: nothing is left behind
            lock.unlink(missing_ok=True)
        held.release()
        if is_new:
            with contextlib.suppress(OSError):  # not empty
                studies.rmdir()


def refuse_locked(studies: Path, study: str) -> None:
    """Refuse a study that a live driver works on. Writes nothing. Raises: MerError naming the owner."""
    if live_owner(studies, study) is not None:
        raise _locked(studies, study)


def _locked(studies: Path, study: str) -> MerError:
    resume = "wait for it, or stop it (Ctrl-C there), then run again with --resume"
    return MerError(
        studies / study,
        f"a live driver works on this study{_owner_words(owner_file(studies, study))}",
        allowed="one driver per study",
        then=f"{resume}{_if_gone(lock_file(studies, study))}",
    )


def _if_gone(lock: Path) -> str:
    return f"; if its machine is gone: rm {quoted(marker(lock))}" if marker(lock).exists() else ""


@contextlib.contextmanager
def nobody_at_work(studies: Path) -> Iterator[str]:
    """Keep drivers of all studies in a folder from beginning while the block runs, which should be a moment.

    Studies that this process itself has locked do not count.

    Yields: who works on one of them, in words; "" when nobody does. A lock that cannot be looked at counts as taken.
    """
    with contextlib.ExitStack() as held:
        yield next(filter(None, (_taken(held, studies, name) for name in _locked_once(studies))), "")


def _locked_once(studies: Path) -> list[str]:
    """Name the studies that have a lock file. That of a file, such as MLflow's database, is none of a study."""
    names = sorted(path.name[1 : -len(".lock")] for path in studies.glob(".*.lock"))
    return [name for name in names if not (studies / name).is_file()]


def _taken(held: contextlib.ExitStack, studies: Path, name: str) -> str:
    """Hold the lock of a study until `held` ends. Returns who has it, in words; "" when it is ours now, or was."""
    try:
        held.enter_context(acquire(lock_file(studies, name), timeout_s=0))
    except Timeout:
        note = owner_file(studies, name)
        return "" if _is_this_process(note) else f"a live driver works on {name}{_owner_words(note)}"
    except OSError as fault:
        return f"the lock of {name} cannot be looked at ({fault.strerror})"
    return ""


def _this_process() -> dict[str, object]:
    command = shlex.join(words_without_secrets(sys.argv))
    return {"pid": os.getpid(), "host": socket.gethostname(), "command": command}


def _is_this_process(owner: Path) -> bool:
    try:
        return _this_process().items() <= read_object(owner).items()
    except (OSError, ValueError):
        return False


def live_owner(studies: Path, study: str) -> str | None:
    """Say in words who works on a study just now; None when nobody does. Writes nothing."""
    lock = lock_file(studies, study)
    if not lock.exists():
        return None
    try:
        probe = acquire(lock, timeout_s=0)
    except Timeout:
        return _owner_words(owner_file(studies, study)).removeprefix(": ") or "owner unknown"
    except OSError:  # a read-only copy of somebody's studies: nobody works there
        return None
    probe.release()
    return None


def _owner_words(owner: Path) -> str:
    try:
        who = read_object(owner)
        return f": pid {who['pid']} on {who['host']}, since {who['since']} ({who['command']})"
    except (OSError, ValueError, LookupError):
        return ""
