"""Stop a study for good reason: the machine refuses it, or its trials fail alike. What it holds stays resumable."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from mer.errors import MerError
from mer.io_faults import refusal
from mer.study.paths import TRIALS
from mer.study.search.live_trial import Ending
from trainables.trial_files import TRACEBACK

_HOPELESS = 3  # so many failures before any success end the study: the next ones would fail alike
_SAME_CAUSE = 5  # so many failures in a row by one cause end it too, whatever went well before


@dataclass
class Halt:
    """Know why nothing more should be handed out.

    Attributes:
        blocked: what the machine refused, e.g. space on the disk; "" when nothing.
        hopeless: why no further trial makes sense; "" while one does.
    """

    blocked: str = ""
    hopeless: str = ""
    _advice: str = ""  # what to do before going on
    _pattern: str = ""  # which failures left no hope
    _causes: list[str] = field(default_factory=list)  # of the last endings; "" for one that is no failure

    def __bool__(self) -> bool:
        return bool(self.hopeless or self.blocked)

    def block(self, reason: str | OSError, advice: str = "") -> None:
        """Stop the study, since the machine is at fault.

        Args: advice: what to do before going on.
        """
        if not self.blocked:
            self.blocked = refusal(reason) if isinstance(reason, OSError) else reason
            self._advice = advice or "mend that (on a full disk make room)"

    def note(self, ending: Ending, *, ran: bool, ended: int, failed: int) -> None:
        """Take in how a trial ended, and give the study up when the next ones would fail alike.

        Args:
            ran: a worker had it; a draw that was refused says nothing of the next.
            ended, failed: trials so far.
        """
        if ran:
            self._causes = [*self._causes, _cause(ending)][-_SAME_CAUSE:]
        if ending.outcome != "error":
            return
        if failed == ended >= _HOPELESS:
            self.hopeless, self._pattern = ending.reason, f"the first {_HOPELESS} trials all failed"
        elif self._causes == [_cause(ending)] * _SAME_CAUSE:
            self.hopeless, self._pattern = ending.reason, f"{_SAME_CAUSE} trials in a row failed alike"

    def raise_if_stopped(self, study: str, go_on: str, try_again: str, folder: Path) -> None:
        """Raise MerError when the study was stopped.

        Args:
            study: its name.
            go_on: command that goes on with the study.
            try_again: command that goes on with it and tries failed trials again.
            folder: of the study.
        """
        if self.blocked:
            raise MerError(self.blocked, "the study was stopped", then=f"{self._advice}, then go on with: {go_on}")
        if self.hopeless:
            raise MerError(
                study,
                f"{self._pattern}, so the study was stopped: {self.hopeless}",
                then=f"mend the cause (tracebacks: {folder}/{TRIALS}/*/{TRACEBACK}), then go on with: {try_again}",
            )


def _cause(ending: Ending) -> str:
    """Write the reason of a failure without its numbers; "" for a trial that ended by its own doing."""
    return re.sub(r"\d+", "#", ending.reason) if ending.outcome == "error" else ""
