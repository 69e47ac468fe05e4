"""Locks between processes, also where the file system has none."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from filelock import BaseFileLock, FileLock, SoftFileLock

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})  # NFS without lockd, some parallel file systems
FOREVER = -1.0


@dataclass(eq=False)
class Held:
    """A lock that this process has, until it is released or the process ends; `with acquire(...):` releases it.

    Args: makeshift: a file stands for the lock.
    """

    lock: BaseFileLock
    makeshift: bool = False

    def release(self) -> None:
        self.lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def acquire(path: Path, timeout_s: float = FOREVER) -> Held:
    """Take a lock.

    Where the file system has no locks, a file `PATH.held` stands for it. It names process and machine: that of a
    process that was killed is passed over on its machine, and has to be removed by hand on another.

    Args:
        path: the file that is locked; it is made and stays.
        timeout_s: how long to wait for another process; 0: not at all.
    Raises: filelock.Timeout when another process holds it.
    """
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout=timeout_s)
        return Held(lock)
    except OSError as fault:
        if fault.errno not in NO_LOCKS:
            raise
    makeshift = SoftFileLock(marker(path))
    makeshift.acquire(timeout=timeout_s)
    return Held(makeshift, makeshift=True)


def marker(path: Path) -> Path:
    """The file that stands for the lock of `path` where the file system has none."""
    return path.with_name(f"{path.name}.held")
