"""Let every operation of a study go wrong once, in every way, and count what became of it."""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.faults.case import Size, Verdict, judge, without_faults
from benchmarks.faults.world.faults import OneFault, Operation, faults_of
from benchmarks.faults.world.kinds import Kind

_COLLECT_EVERY = 100
_AUDIT_EVERY = (
    10  # a study with the picture of one that was audited has no findings either: it is the audit that is tried
)


@dataclass(frozen=True)
class Case:
    """A fault of one operation."""

    kind: Kind
    operation: Operation
    fault: str

    @property
    def words(self) -> str:
        return f"{self.kind.name}: {self.fault} at {self.operation.words}"

    @property
    def replay(self) -> str:
        where = f"{self.operation.domain}:{self.operation.index}:{self.fault.replace(' ', '-')}"
        return f"--kind {self.kind.name} --at {where}"


@dataclass
class Found:
    """What an exhaustive run found.

    Attributes:
        table: (domain, kind of operation, fault) -> outcome -> cases.
        bad: cases that did not end well.
    """

    table: dict[tuple[str, str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    bad: list[tuple[Case, Verdict]] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON-able data."""
        return {"seconds": self.seconds, "table": [[*key, outcomes] for key, outcomes in self.table.items()]}

    @classmethod
    def read(cls, parts: Iterable[dict[str, Any]]) -> Self:
        """Add up what `as_json` gave."""
        found = cls()
        for part in parts:
            found.seconds += part["seconds"]
            for domain, kind, fault, outcomes in part["table"]:
                found.table[domain, kind, fault].update(outcomes)
        return found

    @property
    def cases(self) -> int:
        return sum(sum(outcomes.values()) for outcomes in self.table.values())


def cases_of(kind: Kind, size: Size, root: Path, domains: Iterable[str]) -> Iterator[Case]:
    """List everything that can go wrong in a study, once."""
    _, operations = without_faults(kind, size, 0, root)
    for operation in operations:
        if operation.domain in domains:
            for fault in faults_of(operation):
                yield Case(kind, operation, fault)


def run_cases(cases: Iterable[Case], size: Size, root: Path) -> Found:
    """Run the cases one after another."""
    found, started = Found(), time.perf_counter()
    gc.collect()
    gc.freeze()
    gc.disable()
    for count, case in enumerate(cases, start=1):
        plan = OneFault(case.operation.domain, case.operation.index, case.fault)
        verdict = judge(case.kind, size, 0, root, [plan], audited=count % _AUDIT_EVERY == 0)
        found.table[case.operation.domain, case.operation.kind, case.fault][verdict.outcome] += 1
        if not verdict.is_good:
            found.bad.append((case, verdict))
            print(
                f"{verdict.outcome} {verdict.codes}: {case.words}: {next(iter(verdict.wrong), '')}",
                file=sys.stderr,
                flush=True,
            )
        if count % _COLLECT_EVERY == 0:
            gc.collect()
    gc.enable()
    gc.unfreeze()
    found.seconds = time.perf_counter() - started
    return found
