"""Try failed trials again: each is repeated by a trial with a number of its own, on top of the budget.

A trial that has ended stays as it is, in Optuna, which lets nobody open it again, and in MLflow.
"""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from mer.study.search.storage import RETRY_OF, StudyStorage


class Retries:
    """The repetitions of a study.

    Args:
        study: proposes them.
        storage: of the study; hands them out before anything else that waits.
    Attributes: count: repetitions so far, run or not.
    """

    def __init__(self, study: optuna.Study, storage: StudyStorage) -> None:
        self.study, self.storage = study, storage
        self.count = len(self.pairs())

    def pairs(self) -> dict[int, int]:
        """Return number of a failed trial -> number of the trial that repeats it."""
        again = {t.user_attrs.get(RETRY_OF): t.number for t in self.study.get_trials(deepcopy=False)}
        return {failed: number for failed, number in again.items() if failed is not None}

    @property
    def waiting(self) -> int:
        """How many were proposed and not handed out."""
        return sum(RETRY_OF in trial.user_attrs for trial in self.storage.waiting) if self.count else 0

    @property
    def begun(self) -> int:
        """How many were handed out."""
        return self.count - self.waiting

    def propose(self) -> list[int]:
        """Propose the parameters of every failed trial again, once. Returns the numbers of the failed trials."""
        repeated = self.pairs()
        states = (TrialState.FAIL,)
        failed = [t for t in self.study.get_trials(deepcopy=False, states=states) if t.number not in repeated]
        with self.storage.together():
            for trial in failed:
                self.study.enqueue_trial(trial.params, user_attrs={RETRY_OF: trial.number})
        self.count += len(failed)
        return [trial.number for trial in failed]
