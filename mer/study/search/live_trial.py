"""A trial that was handed out: what is known of it until it ends, how it ended, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from mer.config import TrialConfig
from mer.study.search.ledger import Assignment
from mer.training import Row
from trainables.wire import Outcome


@dataclass
class LiveTrial:
    """A trial that was handed out by this driver and has not ended.

    Args:
        handed_out: number, parameters and configuration, for when its worker is lost; None: the draw was refused.
        epoch: the last epoch that was heard of.
        losses: workers that died with it and nobody else.
        pack_limit: most trials that may share a worker with it, itself included; None: any number.
        best, last: of its rows; None before the first.
    """

    handed_out: tuple[Assignment, TrialConfig] | None
    epoch: int = 0
    losses: int = 0
    pack_limit: int | None = None
    best: Row | None = None
    last: Row | None = None

    @property
    def config(self) -> TrialConfig:
        """Its configuration; a trial whose draw was refused has none."""
        assert self.handed_out is not None
        return self.handed_out[1]

    def seconds_left(self, unheard: float) -> float:
        """Estimate the training time that is left, from the last epoch; `unheard` before the first."""
        if self.last is None:
            return unheard
        return float(self.last.get("seconds", 0.0)) * (self.config.training.epochs - self.epoch)


@dataclass(frozen=True)
class Ending:
    """How a trial ended.

    Args: last: epoch and score after which it was cut.
    """

    outcome: Outcome
    reason: str
    last: tuple[int, float] | None = None


class Listener(Protocol):
    """Hears of every event in order. Each method must return at once: the tracker queues, the display redraws later."""

    def trial_started(self, number: int, params: dict[str, Any], config: TrialConfig | None) -> None: ...
    def trial_placed(self, number: int, *, has_worker: bool) -> None: ...
    def trial_rows(self, number: int, rows: list[Row]) -> None: ...
    def trial_ended(self, number: int, outcome: Outcome, best: Row | None, reason: str) -> None: ...
