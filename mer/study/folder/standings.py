"""State and rank of the trials of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mer.study.search.ledger import params_of

_WORDS = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class Standing:
    """One trial's place: its best epoch's dev metrics and what was drawn for it."""

    number: int
    state: str
    best: dict[str, float]
    params: dict[str, Any]
    reason: str


def standing_of(trial: FrozenTrial) -> Standing:
    """What the ledger says of one trial."""
    ending = trial.user_attrs.get("ending", {})
    return Standing(
        trial.number, _WORDS[trial.state], ending.get("best") or {}, params_of(trial), ending.get("reason", "")
    )
