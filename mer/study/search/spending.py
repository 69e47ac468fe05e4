"""What a study has used up of its budgets of epochs and money, over all runs of its command."""

from __future__ import annotations

import time

from mer.study.search.engine import StudyEngine

_NOTED_EVERY_S = 60.0


class Spending:
    """Count epochs and cost against the budget.

    The time that costs money is noted in the journal once a minute: a kill forgets less than that.

    Args: engine: counts epochs; its ledger keeps the time that earlier runs took.
    """

    def __init__(self, engine: StudyEngine) -> None:
        self.engine, self.budget = engine, engine.spec.budget
        self._before_s = engine.ledger.seconds_spent
        self._began = self._noted = time.monotonic()

    @property
    def cost(self) -> float:
        """What the study has cost so far; 0 where nothing is said of the cost of an hour."""
        return (self._before_s + time.monotonic() - self._began) / 3600 * (self.budget.cost_per_hour or 0.0)

    @property
    def used_up(self) -> str:
        """Say which budget is used up, in words; "" while none is."""
        budget = self.budget
        if budget.total_epochs is not None and self.engine.epochs_done >= budget.total_epochs:
            return f"the budget of {budget.total_epochs} epochs is used up"
        if budget.cost is not None and self.cost >= budget.cost:
            return f"the budget of {budget.cost:g} is spent, at {budget.cost_per_hour:g} an hour"
        return ""

    @property
    def enlarge(self) -> str:
        """Return the option that doubles the budget that is used up; "" when none is."""
        budget = self.budget
        if budget.total_epochs is not None and self.engine.epochs_done >= budget.total_epochs:
            return f"--set budget.total_epochs={2 * budget.total_epochs}"
        return f"--set budget.cost={2 * budget.cost:g}" if budget.cost is not None and self.used_up else ""

    def note(self, *, at_once: bool = False) -> None:
        """Note the time in the journal, where it costs money and some has passed. A full disk stops the study."""
        now = time.monotonic()
        if self.budget.cost is None or not (at_once or now - self._noted >= _NOTED_EVERY_S):
            return
        self._noted = now
        try:
            self.engine.ledger.note_seconds(self._before_s + now - self._began)
        except OSError as fault:
            self.engine.block(fault)
