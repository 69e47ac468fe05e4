"""The cells of a grid in their order, without ever holding all of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from mer.study.space.spec import StudySpec


class Grid:
    """Count and find the cells of a study's grid.

    Args: spec: a study; where its sampler is no grid there are no cells.
    """

    def __init__(self, spec: StudySpec) -> None:
        self.spec, self.is_one = spec, spec.sampler.kind == "grid"
        self._cells: Iterator[dict[str, Any]] | None = None
        self._next = 0  # index of the cell that comes next

    def cell(self, index: int) -> dict[str, Any] | None:
        """Return a cell; None behind the last one. Going forward costs nothing, going back begins anew."""
        if self._cells is None or index < self._next:
            self._cells, self._next = self.spec.space.grid(), 0
        skipped, self._next = index - self._next, index + 1
        return next(itertools.islice(self._cells, skipped, None), None)

    def count(self, most: int) -> int:
        """Count the cells, up to `most`."""
        return sum(1 for _ in itertools.islice(self.spec.space.grid(), most))

    @property
    def whole(self) -> int | None:
        """How many cells there are, where the budget has a trial for each; None otherwise."""
        budget = self.spec.budget.trials
        cells = self.count(budget + 1) if self.is_one else budget + 1
        return cells if cells <= budget else None
