"""Why a study's loop ends before its trials are used up."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mer.study.search.engine import StudyEngine


class StopSignal:
    """Ctrl-C or SIGTERM, the time budget, or a hopeless study. What runs at that moment stays resumable."""

    def __init__(self, engine: StudyEngine, hours: float | None) -> None:
        self.engine = engine
        self.deadline = time.monotonic() + hours * 3600 if hours else math.inf
        self.interrupted = False

    @property
    def wanted(self) -> bool:
        return self.interrupted or self.engine.stopped or time.monotonic() > self.deadline

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Turn SIGINT and SIGTERM into a request to stop; a second one interrupts at once."""

        def ask(number: int, frame: Any) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
