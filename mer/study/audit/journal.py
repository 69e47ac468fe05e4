"""Check what the journal says of its trials: endings told whole, and values that follow from them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mer.study.audit.findings import EITHER, RESUME, Finding, trial_words
from mer.study.paths import JOURNAL
from mer.study.search.journal import is_whole
from mer.study.search.stored_trial import ENDED, state_after
from mer.study.tracking.from_disk import StudyOnDisk

_BRING_BACK = "bring journal.log back from a copy"
_HALF_TOLD = "its ending was noted, and not carried out"


def journal_findings(disk: StudyOnDisk) -> Iterator[Finding]:
    """Yield what is wrong with the journal of a study on which nobody works."""
    journal = disk.folder / JOURNAL
    if not is_whole(journal):
        yield Finding("journal", str(journal), "blank or torn lines, which are passed over", EITHER)
    if [trial.number for trial in disk.trials] != list(range(len(disk.trials))):
        yield Finding("journal", str(journal), "its trials are not numbered from 0 on", then=_BRING_BACK)
    for trial in disk.trials:
        for words in _of_trial(disk, trial):
            then = "" if words == _HALF_TOLD else _BRING_BACK
            yield Finding("journal", trial_words(trial.number), words, RESUME if words == _HALF_TOLD else "", then)


def _of_trial(disk: StudyOnDisk, trial: FrozenTrial) -> Iterator[str]:
    ending: dict[str, Any] = trial.user_attrs.get("ending", {})
    if trial.state == TrialState.RUNNING and ending:
        yield _HALF_TOLD
    if trial.state not in ENDED:
        return
    if not ending:
        yield "it has ended, and how is not noted"
        return
    if state_after(ending["outcome"]) != trial.state:
        yield f"it is {trial.state.name}, and its ending says {ending['outcome']}"
    if trial.state != TrialState.COMPLETE:
        return
    best = ending.get("best") or {}
    wanted = [best.get(metric, math.nan) for metric in disk.identity.metrics]
    if trial.values != wanted:
        yield f"its values {trial.values} are not those of its best epoch {wanted}"
