"""Stop trials early: rules that remember every score they judged. No Ray and no Optuna in here.

Scores are best-so-far values, larger is better. A rule is filled again from the history of a study when it resumes;
trials are keyed by number, so that none enters twice.
"""

from __future__ import annotations

import math
import statistics
from typing import Protocol

from mer.study.space.spec import Budget, Scheduler

_MEDIAN_NEEDS = 5  # trials at an epoch before their median says anything


class Policy(Protocol):
    """Decides whether a trial is cut. It keeps the scores that it has seen, and nothing else changes its verdicts."""

    def decision_epochs(self, number: int) -> list[int]:
        """List the epochs after which trial `number` waits for a verdict."""
        ...

    def remember(self, number: int, epoch: int, score: float) -> None:
        """Take in a score that needs no verdict: judged before a resume, or the last of a trial."""
        ...

    def cuts(self, number: int, epoch: int, score: float) -> bool:
        """Take in a new score; True stops the trial."""
        ...


class NoStopping:
    """Lets every trial run to its last epoch."""

    def decision_epochs(self, number: int) -> list[int]:
        return []

    def remember(self, number: int, epoch: int, score: float) -> None:
        return None

    def cuts(self, number: int, epoch: int, score: float) -> bool:
        return False


class SuccessiveHalving:
    """ASHA in its stopping form (Li et al. 2020), and Hyperband as several of them with later first rungs.

    A trial passes a rung if it is among the best 1/reduction of those that have reached the rung so far; the best one
    always passes. With several brackets, trial n belongs to bracket n mod brackets, and bracket b skips the first b
    rungs.
    """

    def __init__(self, budget: Budget, scheduler: Scheduler, *, hyperband: bool = False) -> None:
        self.reduction = scheduler.reduction
        self.milestones: list[int] = []
        milestone = scheduler.grace_epochs
        while milestone < budget.epochs:
            self.milestones.append(milestone)
            milestone *= scheduler.reduction
        self.brackets = len(self.milestones) + 1 if hyperband else 1
        self.rungs: dict[tuple[int, int], dict[int, float]] = {}

    def decision_epochs(self, number: int) -> list[int]:
        return self.milestones[self._bracket(number) :]

    def remember(self, number: int, epoch: int, score: float) -> None:
        if epoch in self.decision_epochs(number):
            self._rung(number, epoch)[number] = _comparable(score)

    def cuts(self, number: int, epoch: int, score: float) -> bool:
        if epoch not in self.decision_epochs(number) or number in self._rung(number, epoch):
            return False  # a number in the rung was judged before
        rung = self._rung(number, epoch)
        rung[number] = score = _comparable(score)
        passing = max(1, len(rung) // self.reduction)
        return score < sorted(rung.values(), reverse=True)[passing - 1]

    def _bracket(self, number: int) -> int:
        return number % self.brackets

    def _rung(self, number: int, epoch: int) -> dict[int, float]:
        return self.rungs.setdefault((self._bracket(number), epoch), {})


class MedianStopping:
    """Cuts a trial whose best score so far is below the median of the others' at the same epoch."""

    def __init__(self, budget: Budget, scheduler: Scheduler) -> None:
        self.epochs = list(range(scheduler.grace_epochs, budget.epochs))
        self.scores: dict[int, dict[int, float]] = {}

    def decision_epochs(self, number: int) -> list[int]:
        return self.epochs

    def remember(self, number: int, epoch: int, score: float) -> None:
        self.scores.setdefault(epoch, {})[number] = _comparable(score)

    def cuts(self, number: int, epoch: int, score: float) -> bool:
        others = self.scores.setdefault(epoch, {})
        judged_before = number in others
        rest = [value for other, value in others.items() if other != number]
        others[number] = score = _comparable(score)
        if judged_before or epoch not in self.epochs or len(rest) < _MEDIAN_NEEDS:
            return False
        return score < statistics.median(rest)


def _comparable(score: float) -> float:
    """Count NaN as the worst score; every comparison with it is false."""
    return -math.inf if math.isnan(score) else score


def build_policy(budget: Budget, scheduler: Scheduler) -> Policy:
    """Build the rule that a search space asks for."""
    if scheduler.kind == "none":
        return NoStopping()
    if scheduler.kind == "median":
        return MedianStopping(budget, scheduler)
    return SuccessiveHalving(budget, scheduler, hyperband=scheduler.kind == "hyperband")
