"""What a study has used up of its budgets of epochs and money, over all runs of its command."""

from __future__ import annotations

import time

from mer.study.search.engine import StudyEngine

_NOTED_EVERY_S = 60.0


class Spending:
    """Count epochs and cost against the budget.

    The time that costs money is noted in the journal once a minute: a kill forgets less than that.

    Args:
        engine: counts epochs; its ledger keeps the time that earlier runs took.
        began: when this run of the command began, by `time.monotonic`: extraction costs money too; None: now.
    """

    def __init__(self, engine: StudyEngine, began: float | None = None) -> None:
        self.engine, self.budget = engine, engine.spec.budget
        self._before_s = engine.ledger.seconds_spent
        self._noted = time.monotonic()
        self._began = self._noted if began is None else began

    @property
    def cost(self) -> float:
        """What the study has cost so far; 0 where nothing is said of the cost of an hour."""
        return (self._before_s + time.monotonic() - self._began) / 3600 * (self.budget.cost_per_hour or 0.0)

    @property
    def used_up(self) -> str:
        """Say which budget is used up, in words; "" while none is."""
        budget, words = self.budget, []
        if self._are_epochs_used_up:
            words += [f"the budget of {budget.total_epochs} epochs is used up"]
        if self._is_money_used_up:
            words += [f"the budget of {budget.cost:g} is spent, at {budget.cost_per_hour:g} an hour"]
        return ", and ".join(words)

    @property
    def _are_epochs_used_up(self) -> bool:
        return self.budget.total_epochs is not None and self.engine.epochs_done >= self.budget.total_epochs

    @property
    def _is_money_used_up(self) -> bool:
        return self.budget.cost is not None and self.cost >= self.budget.cost

    @property
    def enlarge(self) -> str:
        """Return options that double each budget that is used up until some of it is left; "" when none is."""
        budget, options = self.budget, []
        if budget.total_epochs is not None and self._are_epochs_used_up:
            options += [f"--set budget.total_epochs={_enough(budget.total_epochs, self.engine.epochs_done):.0f}"]
        if budget.cost is not None and self._is_money_used_up:
            options += [f"--set budget.cost={_enough(budget.cost, self.cost):.12g}"]
        return " ".join(options)

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


def _enough(budget: float, spent: float) -> float:
    """Double a budget until it is more than what was spent: a run may have gone on beyond it for a while."""
    while budget <= spent:
        budget *= 2
    return budget
