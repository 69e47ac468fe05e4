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
    _tried: set[str] = field(default_factory=set)  # shapes of the trials that were handed out
    _first: list[str] | None = field(default_factory=list)  # shapes of the first, if all failed; None: not all
    _row: list[str] = field(default_factory=list)  # shapes of the last trials, which failed by one cause
    _cause: str = ""  # theirs

    def __bool__(self) -> bool:
        return bool(self.hopeless or self.blocked)

    def block(self, reason: str | OSError, advice: str = "") -> None:
        """Stop the study, since the machine is at fault.

        Args: advice: what to do before going on.
        """
        if not self.blocked:
            self.blocked = refusal(reason) if isinstance(reason, OSError) else reason
            self._advice = advice or "mend that (on a full disk make room)"

    def tried(self, shape: str) -> None:
        """Note that a trial of this shape was handed out."""
        self._tried.add(shape)

    def remember(self, outcome: str, shape: str) -> None:
        """Take in how a trial that a worker had ended: now, or under an earlier driver.

        A loss that is not a number is no failure here: the trial did train, and its ranges are at fault.
        """
        if self._first is not None:
            self._first = [*self._first, shape] if outcome == "error" else None

    def note(self, ending: Ending, shape: str) -> None:
        """Take in how a trial that a worker had ended now, and give the study up when the next ones would fail alike.

        Trials of one shape have much in common, as all members of a pack: their failures count once where other shapes
        were tried.
        """
        self.remember(ending.outcome, shape)
        cause = _cause(ending)
        self._row = [*(self._row if cause == self._cause else []), shape]
        self._cause = cause
        if not cause:
            return
        if self._first is not None and self._is_enough(self._first, _HOPELESS):
            self.hopeless, self._pattern = ending.reason, f"the first {len(self._first)} trials all failed"
        elif self._is_enough(self._row, _SAME_CAUSE):
            self.hopeless, self._pattern = ending.reason, f"{len(self._row)} trials in a row failed alike"

    def _is_enough(self, shapes: list[str], most: int) -> bool:
        return len(shapes) >= most and len(set(shapes)) >= min(most, len(self._tried))

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
