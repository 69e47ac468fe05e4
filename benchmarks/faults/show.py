"""Tables of what became of the cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from benchmarks.faults.case import Verdict, words_of
from benchmarks.faults.exhaustive import Case, Found

GOOD = ("absorbed", "resumed")
BAD = (
    "lost number",
    "doubled number",
    "doubled run",
    "record incomplete",
    "file lost",
    "leftover",
    "audit finds",
    "unexpected error",
    "never done",
    "unreadable",
)
_SHOWN = 12


def print_table(found: Found) -> None:
    """Print a line for each operation and fault, in Markdown, and the sum."""
    print("| operation | fault | cases | absorbed | resumed | " + " | ".join(BAD) + " |")
    print("|" + " :--- |" * 2 + " ---: |" * (3 + len(BAD)))
    total: Counter[str] = Counter()
    for (domain, kind, fault), outcomes in sorted(found.table.items()):
        total += outcomes
        _line(f"{domain}: {kind}", fault, outcomes)
    _line("all", "", total)


def print_bad(bad: Iterable[tuple[Case, Verdict]]) -> None:
    """Print some of the cases that did not end well, and how to repeat them."""
    bad = list(bad)
    for case, verdict in bad[:_SHOWN]:
        print(f"\n{verdict.outcome}: {case.words}")
        print_verdict(verdict)
        print(f"  again: python -m benchmarks.faults {case.replay}")
    if len(bad) > _SHOWN:
        print(f"\nand {len(bad) - _SHOWN} more")


def print_verdict(verdict: Verdict) -> None:
    """Print how the commands of a case ended, and what is wrong."""
    for ended in verdict.ended:
        print("  $ " + words_of(ended).replace("\n", "\n    "))
        if ended.code == 1:
            print("    " + ended.trace.replace("\n", "\n    "))
    for key, words in list(verdict.wrong.items())[:_SHOWN]:
        print(f"  {key}: {words[:300]}")


def _line(operation: str, fault: str, outcomes: Counter[str]) -> None:
    counts = [sum(outcomes.values()), *(outcomes[name] for name in (*GOOD, *BAD))]
    print(f"| {operation} | {fault} | " + " | ".join(map(str, counts)) + " |")
