"""A folder for the sockets and logs of one Ray: private, and short enough for the names of sockets."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mer.errors import MerError

_SOCKET_BYTES = 107  # the longest name of a socket on Linux
_SESSION_BYTES = 68  # /session_2026-11-28_01-02-03_123456_4194304/sockets/plasma_store, and some to spare
_PREFIX, _INNER, _LOCK = "mer-ray-", "r", "lock"
_MADE_WITHIN_S = 3600.0  # a folder whose lock is not there for longer is that of a process that was killed meanwhile


def socket_folder() -> Path:
    """Name a folder that only this user can reach, for as long as this process lives; remove those of killed ones.

    Ray makes it, open to all: it lies in one that is not.

    It lies in RAY_TMPDIR, or else in the first of TMPDIR, /tmp, /var/tmp and /dev/shm that is short and can be written.
    Raises: MerError when there is no such place.
    """
    for place in _places():
        _sweep(place)
        try:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))  # mode 0700
        except OSError:
            continue
        _hold(folder)
        return folder / _INNER
    said = " or ".join(name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name))
    raise MerError(
        said or "TMPDIR",
        "no folder for Ray's sockets: what these variables name is too long or not to be written, /tmp is not either",
        allowed=f"a folder of at most {_most_bytes()} bytes, such as /tmp",
        then="RAY_TMPDIR=$(mktemp -d /tmp/XXXX), exported before the same command",
    )


def _places() -> Iterator[Path]:
    named = os.environ.get("RAY_TMPDIR")
    for place in [named] if named else [os.environ.get("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"]:
        if place and len(os.fsencode(Path(place).absolute())) <= _most_bytes():
            yield Path(place).absolute()


def _most_bytes() -> int:
    return _SOCKET_BYTES - _SESSION_BYTES - len(f"/{_PREFIX}12345678/{_INNER}")


def _hold(folder: Path) -> None:
    """Keep the folder's lock for as long as this process lives: a folder without it is a killed process's.

    The file gets its name once it is locked: nobody ever finds it free.
    """
    coming = folder / f"{_LOCK}.new"
    handle = os.open(coming, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(OSError):  # a file system without locks: nobody sweeps it
        fcntl.flock(handle, fcntl.LOCK_EX)
    coming.rename(folder / _LOCK)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove this user's folders that no process holds."""
    with contextlib.suppress(OSError):
        for folder in place.glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):
                if folder.stat(follow_symlinks=False).st_uid == os.getuid() and _is_left(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    lock = folder / _LOCK
    if not lock.exists():
        return time.time() - folder.stat(follow_symlinks=False).st_mtime > _MADE_WITHIN_S
    handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
