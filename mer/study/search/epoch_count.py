"""The epochs of all trials, under earlier drivers too, counted without reading the study at each report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from optuna.trial import FrozenTrial

from mer.study.search.live_trial import LiveTrial
from mer.study.search.stored_trial import ENDED, epochs_of


class EpochCount:
    """Count epochs. Args: trials: of the study, as an earlier driver left them."""

    def __init__(self, trials: Iterable[FrozenTrial]) -> None:
        self._of_ended = 0
        self._before: dict[int, int] = {}  # number of a trial that has not ended -> its epochs under earlier drivers
        for trial in trials:
            if trial.state in ENDED:
                self._of_ended += epochs_of(trial)
            else:
                self._before[trial.number] = epochs_of(trial)

    def ended(self, number: int, live: LiveTrial) -> None:
        """Note that a trial has ended."""
        self._of_ended += max(live.epoch, self._before.pop(number, 0))

    def total(self, live: Mapping[int, LiveTrial]) -> int:
        """Count all epochs. Args: live: the trials that were handed out; one that is resumed tells its epochs again."""
        own = {number: trial.epoch for number, trial in live.items()}
        return self._of_ended + sum(
            max(own.get(n, 0), self._before.get(n, 0)) for n in own.keys() | self._before.keys()
        )
