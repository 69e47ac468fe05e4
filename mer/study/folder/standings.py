"""Tell how the trials of a study stand, and rank them. Every ranking in the project is made here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from optuna.trial import FrozenTrial, TrialState

from mer.study.search.stored_trial import STATES, State, params_of


class Aim(Protocol):
    """A metric and its better direction, as `StudyObjective` and the report have them."""

    @property
    def metric(self) -> str: ...
    @property
    def mode(self) -> str: ...


class Ranked(Protocol):
    """A trial, as far as a ranking reads it."""

    @property
    def number(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def best(self) -> Mapping[str, float]: ...


SomeRanked = TypeVar("SomeRanked", bound=Ranked)


@dataclass(frozen=True)
class Standing:
    """One trial: how it ended, its best epoch's dev metrics and what was drawn for it.

    Args:
        best: metrics of the best epoch so far; {} before the first.
        params: dotted configuration key -> value.
        reason: why it failed or was stopped; "" otherwise.
    """

    number: int
    state: State
    best: Mapping[str, float]
    params: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


def standing_of(trial: FrozenTrial) -> Standing:
    """Read one trial of the journal."""
    ending = trial.user_attrs.get("ending", {})
    return Standing(
        trial.number, STATES[trial.state], ending.get("best") or {}, params_of(trial), ending.get("reason", "")
    )


def standings_of(trials: Iterable[FrozenTrial]) -> list[Standing]:
    """Read every trial that was handed out, in the order of their numbers."""
    return [standing_of(trial) for trial in trials if trial.state != TrialState.WAITING]


def rank(standings: Iterable[SomeRanked], objective: Aim) -> list[SomeRanked]:
    """Order the finished trials, best first by `objective`; of equal ones the lower number comes first.

    A trial that was stopped early is no candidate, whatever it had reached: its epochs were fewer.
    """
    finished = [standing for standing in standings if standing.state == "finished"]
    return sorted(finished, key=lambda one: rank_key(one.best[objective.metric], one.number, objective.mode))


def rank_key(score: float, number: int, mode: str) -> tuple[float, int]:
    """Return a key that sorts the better score first, and of equal scores the lower trial number."""
    return (-score if mode == "max" else score), number
