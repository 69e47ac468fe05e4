"""Measure contestants in turn, and compare them: alternating rounds, medians, paired ratios, or a refusal.

A ratio is computed in each round and then their median is taken, so that a machine that grows slower from round to
round changes no ratio. Rounds in which other processes disturbed are measured again, once; if too few are quiet, there
are times and no ratios.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.machine import MOST_OTHERS, Use, watch

Values = Mapping[str, float]
Contestant = Callable[[], Values]


@dataclass(frozen=True)
class Ratio:
    """A comparison: `of` over `to`, e.g. ours over a peer.

    Args:
        of, to: names of values.
        limit: the ratio that was aimed at; None: no aim.
        least: the aim is at least the limit, not at most.
    """

    of: str
    to: str
    limit: float | None = None
    least: bool = False

    def is_met(self, ratio: float) -> bool | None:
        if self.limit is None:
            return None
        return ratio >= self.limit if self.least else ratio <= self.limit


@dataclass(frozen=True)
class Round:
    """What all contestants gave once, and the largest share of the machine that others took from one of them."""

    values: dict[str, float]
    others: float

    @property
    def is_quiet(self) -> bool:
        return self.others <= MOST_OTHERS


@dataclass
class Table:
    """Values of one suite, by name and round.

    Args:
        title: what was measured.
        unit: of all values.
        rounds: in the order in which they were measured.
        ratios: comparisons.
        wanted: rounds that must be quiet for a ratio to be said.
        notes: lines for the reader.
    """

    title: str
    unit: str
    rounds: list[Round]
    ratios: Sequence[Ratio] = ()
    wanted: int = 3
    notes: list[str] = field(default_factory=list)

    @property
    def refusal(self) -> str:
        """Why no ratio is said; '' when they are, or none were asked for."""
        quiet = [r for r in self.rounds if r.is_quiet]
        if not self.ratios or len(quiet) >= self.wanted:
            return ""
        worst = max(r.others for r in self.rounds)
        return (
            f"other processes used up to {100 * worst:.0f} % of the machine while measuring (allowed: "
            f"{100 * MOST_OTHERS:.0f} %), and {len(quiet)} of {len(self.rounds)} rounds were quiet (needed: "
            f"{self.wanted}): times only, no ratios"
        )

    def values(self) -> dict[str, list[float]]:
        """Name -> values of the quiet rounds; of all rounds where ratios are refused."""
        chosen = [r for r in self.rounds if r.is_quiet or self.refusal] or self.rounds
        names = dict.fromkeys(name for r in chosen for name in r.values)
        return {name: [r.values[name] for r in chosen if name in r.values] for name in names}

    def compared(self) -> list[tuple[Ratio, float]]:
        """Each comparison with the median of its ratios; [] when refused."""
        if self.refusal:
            return []
        quiet = [r.values for r in self.rounds if r.is_quiet]
        paired = {
            ratio: [
                values[ratio.of] / values[ratio.to] for values in quiet if ratio.of in values and values.get(ratio.to)
            ]
            for ratio in self.ratios
        }
        return [(ratio, statistics.median(found)) for ratio, found in paired.items() if found]

    def as_json(self) -> dict[str, Any]:
        compared = None if self.refusal else [
            {"of": r.of, "to": r.to, "ratio": value, "limit": r.limit, "met": r.is_met(value)}
            for r, value in self.compared()
        ]  # fmt: skip
        return {
            "title": self.title,
            "unit": self.unit,
            "median": {name: statistics.median(found) for name, found in self.values().items()},
            "rounds": [{"values": r.values, "others": round(r.others, 4)} for r in self.rounds],
            "ratios": compared,
            "refusal": self.refusal,
            "notes": self.notes,
        }


def alternate(
    contestants: Mapping[str, Contestant],
    pairs: int,
    say: Callable[[str], None],
    most: int | None = None,
    watch: Callable[[Contestant], tuple[Values, Use]] = watch,
) -> list[Round]:
    """Run all contestants in turn until `pairs` rounds were quiet; every second round backwards.

    Args:
        contestants: name -> what to run; each returns values by name, or {} for its wall time in seconds.
        say: told about each measurement.
        most: rounds at which to give up; None: twice as many as must be quiet.
    """
    rounds: list[Round] = []
    while sum(r.is_quiet for r in rounds) < pairs and len(rounds) < (most or 2 * pairs):
        order = list(contestants)[:: -1 if len(rounds) % 2 else 1]
        values: dict[str, float] = {}
        others = 0.0
        for name in order:
            given, use = watch(contestants[name])
            values |= dict(given) or {name: use.seconds}
            others = max(others, use.others)
            say(f"round {len(rounds) + 1}, {name}: {use.seconds:.1f} s, others used {100 * use.others:.0f} %")
        rounds.append(Round({name: values[name] for name in sorted(values)}, others))
    return rounds


def once(action: Contestant, say: Callable[[str], None], name: str) -> Round:
    """Measure something that has no peer, e.g. memory, one time."""
    values, use = watch(action)
    say(f"{name}: {use.seconds:.1f} s, others used {100 * use.others:.0f} %")
    return Round(dict(values), use.others)
