"""Faults at random, all from one seed: rare or frequent, alone or in rows, in one command after another."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.faults.case import Size
from benchmarks.faults.world.faults import MOMENTS, Domain, Operation, faults_of
from benchmarks.faults.world.kinds import KINDS, Kind

_FILE_RATES, _CALL_RATES, _MOMENT_RATES = (0.0, 0.002, 0.01), (0.0, 0.05, 0.2), (0.0, 0.03, 0.1)
_MOST_LOSSES = 2  # of workers in all commands: a third one may rightly fail a trial
_DOWN_CHANCE, _FULL_CHANCE = 0.2, 0.1
_LONGEST_DOWN, _LONGEST_FULL = 60, 200  # operations
_MOST_COMMANDS = 3
_WRITTEN = frozenset({"open", "write", "fsync", "mkdir", "symlink", "rename"})


@dataclass
class Luck:
    """The faults of one command.

    Args:
        seed: the same one gives the same faults.
        losses: workers that have died by themselves, in earlier commands too.
    Attributes: happened: every fault so far, in words.
    """

    seed: str
    losses: Counter[str] = field(default_factory=Counter)
    happened: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = draw = random.Random(self.seed)
        self._rates = {
            "file": draw.choice(_FILE_RATES),
            "mlflow": draw.choice(_CALL_RATES),
            "moment": draw.choice(_MOMENT_RATES),
        }
        self._down = _window(draw, _DOWN_CHANCE, 40, _LONGEST_DOWN)
        self._full = _window(draw, _FULL_CHANCE, 800, _LONGEST_FULL)

    def asks(self, domain: Domain, index: int) -> bool:
        return True

    def fault(self, operation: Operation) -> str:
        fault = self._fault(operation)
        if fault == "worker lost" or (fault.startswith("crash") and operation.process != "driver"):
            if self.losses["worker"] == _MOST_LOSSES:  # one that dies with its node does not count
                return ""
            self.losses["worker"] += 1
        if fault:
            self.happened.append(f"{fault} at {operation.words}")
        return fault

    def _fault(self, operation: Operation) -> str:
        if operation.domain == "mlflow" and operation.index in self._down:
            return "down"
        if operation.domain == "file" and operation.kind in _WRITTEN and operation.index in self._full:
            return "ENOSPC"
        if self._random.random() >= self._rates[operation.domain]:
            return ""
        return self._random.choice(MOMENTS if operation.domain == "moment" else faults_of(operation))


@dataclass(frozen=True)
class Drawn:
    """All that a seed decides: the study, and what goes wrong in its first commands."""

    kind: Kind
    size: Size
    study_seed: int
    plans: tuple[Luck, ...]


def draw(seed: int) -> Drawn:
    """Draw a case."""
    chosen = random.Random(seed)
    kind = chosen.choice(list(KINDS.values()))
    size = Size(chosen.randint(2, 6), chosen.randint(1, 3))
    commands = chosen.randint(1, _MOST_COMMANDS)
    study_seed, losses = chosen.randint(0, 1), Counter[str]()
    return Drawn(kind, size, study_seed, tuple(Luck(f"{seed}/{command}", losses) for command in range(commands)))


def _window(draw: random.Random, chance: float, latest: int, longest: int) -> range:
    if draw.random() >= chance:
        return range(0)
    start = draw.randint(0, latest)
    return range(start, start + draw.randint(1, longest))
