"""End a study's loop before its trials are used up."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mer.study.search.engine import StudyEngine
from mer.study.search.spending import Spending

_SENT_TO_ALL = (signal.SIGUSR1, signal.SIGHUP)  # `sbatch --signal=USR1@120`; the terminal was closed
_IMPATIENT = (signal.SIGINT, signal.SIGTERM)
SIGNALS = (*_IMPATIENT, *_SENT_TO_ALL)


@contextmanager
def children_spared() -> Iterator[None]:
    """Start processes that a signal to the whole job or terminal does not end: Ray's must outlive the orderly stop.

    They inherit the blocked signals. One that this process gets meanwhile is delivered at the end of the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SENT_TO_ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StopSignal:
    """A signal (Ctrl-C, SIGTERM, SIGUSR1, SIGHUP), a budget, or a hopeless study ends the loop.

    Trials that run at that moment stay resumable.

    Args:
        hours: the time budget of this run of the command; None for no limit.
        spending: the budgets that all runs share.
    """

    def __init__(self, engine: StudyEngine, hours: float | None, spending: Spending | None = None) -> None:
        self.engine = engine
        self.deadline = time.monotonic() + hours * 3600 if hours else math.inf
        self.interrupted = False
        self.spending = spending

    @property
    def wanted(self) -> bool:
        """True when the loop should end now."""
        if self.spending is not None:
            self.spending.note()
        return self.interrupted or self.engine.stopped or bool(self.used_up)

    @property
    def used_up(self) -> str:
        """Say which budget is used up, in words; "" while none is."""
        if time.monotonic() > self.deadline:
            return "the time budget is used up"
        return self.spending.used_up if self.spending is not None else ""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Turn the signals into a request to stop; a second Ctrl-C or SIGTERM interrupts at once.

        A second SIGUSR1 or SIGHUP does not: one of them may come from a terminal or a reader of the output that goes
        away while the study stops.
        """
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self.listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals, again where a library has put its own handlers over ours; `nohup` keeps its SIGHUP."""
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        if self.interrupted and number in _IMPATIENT:
            raise KeyboardInterrupt
        self.interrupted = True
