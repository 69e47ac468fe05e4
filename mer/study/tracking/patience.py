"""When a store that takes nothing is asked again, and when the user hears of it: once, when it is no passing matter."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

PAUSES_S = (0.5, 1, 2, 4, 8, 16, 30)  # between attempts
_PASSING_S = 3.0  # a failure that took so long is no passing matter


@dataclass
class Patience:
    """Counts failures in a row.

    Args:
        say: tells the user something.
        redact: takes secrets out of what a library said.
    Attributes:
        cause: what was said last.
        failures: of the store, in a row.
        refusals: of single runs though the store works, in a row.
    """

    say: Callable[[str], None]
    redact: Callable[[str], str]
    cause: str = ""
    failures: int = 0
    refusals: int = 0
    _warned: bool = False
    _asked: float = 0.0
    _next: float = 0.0

    @property
    def pause_s(self) -> float:
        """Seconds until the store may be asked again."""
        return max(0.0, self._next - time.monotonic())

    def asks(self) -> None:
        """Note that the store is asked now."""
        self._asked = time.monotonic()

    def succeeded(self) -> None:
        """Note that the store works."""
        self.failures = 0

    def failed(self, fault: Exception, *, aloud: bool) -> None:
        """Note that the store took nothing. Args: aloud: tell the user, unless that was done."""
        self.failures += 1
        self._later(fault, self.failures, aloud)

    def refused(self, fault: Exception, *, aloud: bool) -> None:
        """Note that something was refused of a run, while the store works."""
        self.refusals += 1
        self._later(fault, self.refusals, aloud)

    def _later(self, fault: Exception, times: int, aloud: bool) -> None:
        self.cause = self.redact(str(fault).partition("\n")[0]) or type(fault).__name__
        self._next = time.monotonic() + PAUSES_S[min(times, len(PAUSES_S)) - 1]
        lasting = times > 1 or time.monotonic() - self._asked > _PASSING_S
        if lasting and aloud and not self._warned:
            self._warned = True
            self.say(
                f"note: MLflow takes no records just now ({self.cause}); the study goes on, and they are written as "
                "soon as it does"
            )
