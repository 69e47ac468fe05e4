"""Values that the statistics return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

LEVEL = 0.95  # of every interval


class Interval(NamedTuple):
    """Both ends of a 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Mean and spread of one metric over seeds.

    Args:
        mean: over the seeds.
        sd: sample standard deviation (ddof 1); None for one seed.
        n: number of seeds.
        t_interval: 95 % interval of the mean; None for one seed.
        note: why a part is missing or means little, "" otherwise.
    """

    mean: float
    sd: float | None
    n: int
    t_interval: Interval | None
    note: str = ""


@dataclass(frozen=True)
class Paired:
    """Difference a - b in one view, over seeds or over units.

    Args:
        difference: None where nothing could be paired.
        interval: 95 %; None where it cannot be told.
        p: two-sided; None where no test is possible.
        n: number of seeds or units.
        note: why a part is missing, "" otherwise.
        p_adjusted: p after Holm's adjustment, filled in by the caller.
    """

    difference: float | None
    interval: Interval | None
    p: float | None
    n: int
    note: str = ""
    p_adjusted: float | None = None

    @property
    def p_to_judge(self) -> float | None:
        """The adjusted p where there is one, else p."""
        return self.p if self.p_adjusted is None else self.p_adjusted
