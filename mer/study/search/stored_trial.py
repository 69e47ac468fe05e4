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
EPOCHS = "epochs"  # attribute of a trial of a study with several objectives, for which Optuna keeps no values of epochs
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
ENDED_WORDS: tuple[State, ...] = tuple(STATES[state] for state in ENDED)


def state_after(outcome: Outcome) -> TrialState:
    """Return the state of a trial that ended with `outcome`: all but `finished` and `cut` are failures."""
    return {"finished": TrialState.COMPLETE, "cut": TrialState.PRUNED}.get(outcome, TrialState.FAIL)


def outcome_of(trial: FrozenTrial) -> str:
    """Return how a stored trial ended, as it was noted; "" for one that has not."""
    return str(trial.user_attrs.get("ending", {}).get("outcome", ""))


def epochs_of(trial: FrozenTrial) -> int:
    """Count the epochs that were heard of a stored trial."""
    told = trial.user_attrs.get("ending", {}).get("epochs", 0) or trial.user_attrs.get(EPOCHS, 0)
    return int(told) or len(trial.intermediate_values)


def params_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return what was drawn for a stored trial, by dotted configuration key, decoded."""
    return {key: decode(value) for key, value in trial.params.items()}
