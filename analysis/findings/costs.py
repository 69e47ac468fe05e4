"""Add up where the time of a study went, and what stopping early saved."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.stores.study import Study


@dataclass(frozen=True)
class Costs:
    """Args:
    trial_seconds: time between beginning and ending, added over trials.
    seconds_by_state: the same by how they ended.
    epochs: trained in all.
    epochs_in_full: of as many trials without early stopping and failures.
    at_once: trials that ran at the same time, on average.
    span: from the first trial's beginning to the last ending, in seconds.
    """

    trial_seconds: float
    seconds_by_state: dict[str, float]
    epochs: int
    epochs_in_full: int
    at_once: float
    span: float

    @property
    def saved(self) -> float:
        """Share of the epochs that were not trained."""
        return 1 - self.epochs / self.epochs_in_full if self.epochs_in_full else 0.0


def costs(study: Study) -> Costs | None:
    """Compute the costs; None before a trial has ended."""
    timed = [(trial, trial.began, trial.ended) for trial in study.trials]
    ended = [(trial, (end - begin).total_seconds(), begin, end) for trial, begin, end in timed if begin and end]
    if not ended:
        return None
    by_state: dict[str, float] = {}
    for trial, seconds, _, _ in ended:
        by_state[trial.state] = by_state.get(trial.state, 0.0) + seconds
    total = sum(by_state.values())
    span = (max(end for *_, end in ended) - min(begin for _, _, begin, _ in ended)).total_seconds()
    full = int(study.identity.get("epochs", 0)) * len(ended)
    return Costs(total, by_state, sum(t.epochs for t, *_ in ended), full, total / max(span, 1e-9), span)
