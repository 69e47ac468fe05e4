"""Compare packed with unpacked studies of the same seeds: at equal trials, and when the packed one has ended."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.search_quality.landscape import SPACE, Scores
from benchmarks.search_quality.simulate import Costs, End, simulate
from mer.statistics import Paired, paired_by_seed
from mer.study.space.load import load_spec

_WORKERS = 2
COSTS = Costs(
    step_ms={128: {1: 2.19, 2: 1.56, 4: 1.20, 8: 1.12}, 256: {1: 2.79, 2: 2.17, 4: 1.97, 8: 2.00}},
    begin_s=0.15,
    member_s=0.02,
)


@dataclass(frozen=True)
class Arm:
    """Studies of one pack size, by seed: finished trials, and when the study had ended."""

    pack: int | str
    ends: dict[int, list[End]] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)

    def best(self, seed: int, until: float | None = None, *, expected: bool = False) -> float:
        """Return the best score of the trials that had ended by then; expected: what that trial's configuration is
        expected to score, which is free of luck."""
        there = [end for end in self.ends[seed] if until is None or end.at_s <= until]
        best = max(there, key=lambda end: end.score)
        return 100 * (best.expected if expected else best.score)


@dataclass(frozen=True)
class Comparison:
    """One scheduler: the unpacked arm first."""

    scheduler: str
    trials: int
    arms: list[Arm]

    def differences(self, arm: Arm) -> dict[str, Paired]:
        """Packed minus unpacked, in points, paired by seed."""
        one, seeds = self.arms[0], list(arm.ends)

        def paired(*, at_its_end: bool, expected: bool) -> Paired:
            packed = {seed: arm.best(seed, expected=expected) for seed in seeds}
            until = {seed: arm.seconds[seed] if at_its_end else None for seed in seeds}
            single = {seed: one.best(seed, until[seed], expected=expected) for seed in seeds}
            return paired_by_seed(packed, single)

        return {
            "equal trials": paired(at_its_end=False, expected=False),
            "equal trials, expected": paired(at_its_end=False, expected=True),
            "equal time": paired(at_its_end=True, expected=False),
            "equal time, expected": paired(at_its_end=True, expected=True),
        }

    def as_json(self) -> dict[str, Any]:
        return {
            "scheduler": self.scheduler,
            "trials": self.trials,
            "arms": {str(arm.pack): {"best": {s: arm.best(s) for s in arm.ends}, "seconds": arm.seconds}
                     for arm in self.arms},
            "differences": {str(arm.pack): {name: vars(found) for name, found in self.differences(arm).items()}
                            for arm in self.arms[1:]},
        }  # fmt: skip


def compare(
    landscape: Scores, scheduler: str, packs: Sequence[int | str], trials: int, seeds: Iterable[int]
) -> Comparison:
    """Simulate studies unpacked and with each pack size, over the same seeds."""
    arms = [Arm(pack) for pack in (1, *packs)]
    for seed in seeds:
        for arm in arms:
            words = (
                f"sampler.seed={seed}",
                f"scheduler.kind={scheduler}",
                f"resources.pack={arm.pack}",
                f"resources.workers={_WORKERS}",
                f"budget.trials={trials}",
            )
            with tempfile.TemporaryDirectory(prefix="mer-simulated-") as folder:
                spec = load_spec(SPACE, words, {})
                arm.ends[seed], arm.seconds[seed] = simulate(spec, landscape, COSTS, Path(folder))
    return Comparison(scheduler, trials, arms)


def print_comparison(found: Comparison) -> None:
    """Print a line for each pack size: time, best score, and its differences with their 95 % intervals."""
    seeds = list(found.arms[0].ends)
    table = Table(
        title=f"scheduler {found.scheduler}, {found.trials} trials, {len(seeds)} seeds: best dev weighted-F1, points",
        title_justify="left",
    )
    for heading in ("pack", "minutes", "best", "expected of it"):
        table.add_column(heading, justify="right")
    columns = list(found.differences(found.arms[-1]))
    for heading in columns:
        table.add_column(heading, justify="right")
    for arm in found.arms:
        mean = lambda values: sum(values) / len(seeds)  # noqa: E731
        cells = [
            str(arm.pack),
            f"{mean(arm.seconds.values()) / 60:.1f}",
            f"{mean([arm.best(s) for s in seeds]):.2f}",
            f"{mean([arm.best(s, expected=True) for s in seeds]):.2f}",
        ]
        if arm is not found.arms[0]:
            cells += [_words(paired) for paired in found.differences(arm).values()]
        table.add_row(*cells)
    Console(highlight=False, width=150).print(table)


def _words(paired: Paired) -> str:
    if paired.difference is None or paired.interval is None:
        return "-"
    return f"{paired.difference:+.2f} [{paired.interval.low:+.2f}, {paired.interval.high:+.2f}]"
