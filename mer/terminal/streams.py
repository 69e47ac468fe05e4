"""Standard output and error that survive odd characters and readers that have gone."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from mer.terminal.escapes import neutral

_GONE = (errno.EPIPE, errno.EIO)  # `| head` has read enough; the terminal was closed


class LastingStream:
    """A text stream whose reader may leave: what is written after that is dropped.

    A closed pipe asks the command to end, by SIGUSR1, which interrupts it or stops its study in order. A terminal that
    was closed has sent SIGHUP already. Characters that its encoding lacks are written as `\\u5f00`.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.has_gone = stream, False
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        try:
            self.stream.write(text)
        except OSError as fault:
            self._leave(fault)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as fault:
            self._leave(fault)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _leave(self, fault: OSError) -> None:
        if fault.errno not in _GONE:
            raise fault
        nowhere = os.open(os.devnull, os.O_WRONLY)  # or the interpreter complains when it flushes the stream at its end
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)
        if self.has_gone or fault.errno != errno.EPIPE:
            return
        self.has_gone = True
        if signal.getsignal(signal.SIGUSR1) != signal.SIG_DFL:  # else it would end the process: nobody listens any more
            signal.raise_signal(signal.SIGUSR1)


class NeutralStream:
    """A text stream that shows control characters instead of obeying them.

    Args: beneath: where the text goes; rich, whose escape sequences are its own, writes there.
    """

    def __init__(self, beneath: Any) -> None:
        self.beneath = beneath

    def write(self, text: str) -> int:
        self.beneath.write(neutral(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)


@contextmanager
def lasting_streams() -> Iterator[LastingStream]:
    """Make standard output and error lasting ones. Yields the former."""
    before = sys.stdout, sys.stderr
    out, err = (LastingStream(stream) for stream in before)
    sys.stdout, sys.stderr = out, err
    try:
        yield out
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def neutral_streams() -> Iterator[None]:
    """Make standard output and error neutral ones."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (NeutralStream(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
