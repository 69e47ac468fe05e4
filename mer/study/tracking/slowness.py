"""Say, once and in one line, that MLflow answers slowly: silence looks like a hang."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

_LONG_S = 5.0


@dataclass
class Slowness:
    """Counts answers of one stretch of reading.

    Args:
        say: tells the user something.
        meanwhile: what goes on, or is waited for, in words.
    """

    say: Callable[[str], None]
    meanwhile: str
    answers: int = 0
    _since: float = field(default_factory=lambda: time.monotonic())
    _said: bool = False

    def begins(self) -> None:
        """Note that reading begins now."""
        self._since, self.answers = time.monotonic(), 0

    def answered(self) -> None:
        """Note an answer."""
        self.answers += 1
        took_s = time.monotonic() - self._since
        if took_s > _LONG_S and not self._said:
            self._said = True
            count = "1 answer" if self.answers == 1 else f"{self.answers} answers"
            self.say(f"note: MLflow answers slowly ({count} in {took_s:.0f} s): {self.meanwhile}")
