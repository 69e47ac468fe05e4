"""What a trial says, keyed by trial number: a Ray trial is only the slot that hosts it.

Plain dictionaries on the wire (Ray serialises and flattens results), these dataclasses on the driver.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Row = dict[str, float]
Outcome = Literal["running", "finished", "cut", "nonfinite", "error", "blocked"]


@dataclass(frozen=True)
class Report:
    """New epochs of one trial, and how it stands.

    Args:
        number: the Optuna trial number.
        rows: one per epoch, oldest first; each holds `epoch` (from 1), `timestamp_ms` and metrics. After a resume the
            first report repeats the whole history with its original timestamps.
        outcome: running, or how the trial ended. `cut` is said by the driver only; `blocked` means that the machine,
            not the trial, is at fault (a full disk): the study stops and the trial stays resumable.
        reason: why it failed, in words.
    """

    number: int
    rows: list[Row] = field(default_factory=list)
    outcome: Outcome = "running"
    reason: str = ""

    def wire(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Assignment:
    """A trial to run: its number and what was drawn for it."""

    number: int
    params: dict[str, Any]
