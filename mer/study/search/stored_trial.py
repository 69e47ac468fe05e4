"""Read a trial as Optuna stores it: its state in our words, and what was drawn for it."""

from __future__ import annotations

from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from mer.study.space.choices import decode
from trainables.wire import Outcome

State = Literal["finished", "stopped early", "failed", "interrupted", "waiting"]

STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",  # or running at this moment, where a driver is alive
    TrialState.WAITING: "waiting",
}
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
ENDED_WORDS: tuple[State, ...] = tuple(STATES[state] for state in ENDED)


def state_after(outcome: Outcome) -> TrialState:
    """Return the state of a trial that ended with `outcome`: all but `finished` and `cut` are failures."""
    return {"finished": TrialState.COMPLETE, "cut": TrialState.PRUNED}.get(outcome, TrialState.FAIL)


def params_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return what was drawn for a stored trial, by dotted configuration key, decoded."""
    return {key: decode(value) for key, value in trial.params.items()}
