"""Which refusals of the operating system are the machine's fault, and patience with those that may pass.

A trial does not fail by them: its work is tried again for some seconds, then the study stops and can be gone on with.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

_LASTING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}  # somebody has to mend them
_PASSING = {
    errno.EIO,
    errno.ESTALE,
    errno.EINTR,
    errno.EAGAIN,
    errno.EBUSY,
    errno.ETXTBSY,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOLCK,
    errno.ENODEV,
    errno.ENXIO,
    errno.ENOTCONN,
    errno.ESHUTDOWN,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENETRESET,
    errno.EREMOTEIO,
}
_SHORTAGES = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_PAUSES_S = (0.1, 0.4, 1.0, 2.0)


def is_of_the_machine(fault: BaseException) -> bool:
    """Tell whether a fault is a refusal of the machine or its disks, whatever was to be read or written."""
    return isinstance(fault, OSError) and fault.errno in _LASTING | _PASSING


def is_shortage(fault: OSError) -> bool:
    """Tell whether a fault says that something is used up, whatever was to be read or written: disk, files, memory."""
    return fault.errno in _SHORTAGES


def may_pass(fault: OSError) -> bool:
    """Tell whether the same may work a moment later."""
    return fault.errno in _PASSING


def patiently(work: Callable[[], T], pauses_s: Sequence[float] = _PAUSES_S) -> T:
    """Do work that may be repeated, again after each pause while the machine refuses it by what may pass.

    Raises: whatever `work` raises that does not pass, or its last refusal.
    """
    for pause_s in pauses_s:
        try:
            return work()
        except OSError as fault:
            if not may_pass(fault):
                raise
        time.sleep(pause_s)
    return work()


def looks(pauses_s: Sequence[float]) -> Iterator[bool]:
    """Yield each time that a process should look for a file which another machine has just written.

    A network file system may show it a moment later. Yields: False for the first look, True for those after a pause.
    """
    yield False
    for pause_s in pauses_s:
        time.sleep(pause_s)
        yield True


def refusal(fault: OSError) -> str:
    """Say in one line which file was refused and why."""
    reason = fault.strerror or str(fault)
    return f"{fault.filename}: {reason}" if fault.filename else reason
