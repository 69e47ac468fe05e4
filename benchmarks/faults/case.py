"""One case: a study is run under a plan of faults, then resumed without any until it is done, and looked at."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from benchmarks.faults.picture import Picture, differences, picture_of
from benchmarks.faults.world.faults import NoFault, Operation, Plan, Recorded
from benchmarks.faults.world.kinds import Kind
from benchmarks.faults.world.study import CRASHED, Ended, World
from mer.errors import MerError

_MOST_RESUMES = 6


@dataclass(frozen=True)
class Size:
    """How large the studies are."""

    trials: int
    epochs: int


@dataclass(frozen=True)
class Verdict:
    """How a case went.

    Args:
        outcome: "absorbed": the first command managed by itself; "resumed": a later one did; else what is wrong.
        codes: exit codes of all commands.
        wrong: what differs from the study without faults, where anything does.
        ended: how each command ended.
    """

    outcome: str
    codes: tuple[int, ...]
    wrong: dict[str, str] = field(default_factory=dict)
    ended: tuple[Ended, ...] = ()

    @property
    def is_good(self) -> bool:
        return self.outcome in ("absorbed", "resumed")


@cache
def without_faults(kind: Kind, size: Size, seed: int, root: Path) -> tuple[Picture, tuple[Operation, ...]]:
    """Run a study in which nothing goes wrong: its picture, and everything that could have gone wrong in it."""
    world, recorded = _new_world(kind, size, seed, root), Recorded()
    ended = world.command(recorded, resume=False)
    if ended.code != 0:
        raise RuntimeError(f"a study without faults ends with {ended.code}: {ended.message}\n{ended.trace}")
    if found := world.audit():
        raise RuntimeError(f"the audit of a study without faults finds {found}")
    return picture_of(world), tuple(recorded.operations)


def judge(kind: Kind, size: Size, seed: int, root: Path, plans: Sequence[Plan], *, audited: bool = True) -> Verdict:
    """Run a case.

    Args:
        root: a folder of its own, emptied before.
        plans: one for each of the first commands; those that follow have no faults.
        audited: let the product's own audit look at the end, too.
    """
    wanted, _ = without_faults(kind, size, seed, root)
    world, ended = _new_world(kind, size, seed, root), []
    for plan in [*plans, *[NoFault()] * _MOST_RESUMES]:
        ended.append(world.command(plan, resume=bool(ended)))
        if ended[-1].code == 0:
            break
    codes = tuple(one.code for one in ended)
    verdict = lambda outcome, wrong=None: Verdict(outcome, codes, wrong or {}, tuple(ended))  # noqa: E731
    if 1 in codes:
        return verdict("unexpected error")
    if codes[-1] != 0:
        return verdict("never done")
    try:
        wrong = differences(picture_of(world), wanted)
    except MerError as fault:
        return verdict("unreadable", {"journal": fault.message})
    if wrong:
        return verdict(_worst(wrong), wrong)
    if audited and (found := world.audit()):
        return verdict("audit finds", {f"audit/{count}": line for count, line in enumerate(found)})
    return verdict("absorbed" if len(codes) == 1 else "resumed")


def _new_world(kind: Kind, size: Size, seed: int, root: Path) -> World:
    shutil.rmtree(root, ignore_errors=True)
    return World(root, kind.spec(size.trials, size.epochs, seed), kind.nodes)


def _worst(wrong: dict[str, str]) -> str:
    """Name the worst of what is wrong. All of them were called done: the exit code 0 was false."""
    if any(key.startswith("journal/") for key in wrong):
        extra = any(key.startswith("journal/") and words.startswith("too much") for key, words in wrong.items())
        return "doubled number" if extra else "lost number"
    if any(key.endswith("/runs") and not words.startswith("lost") for key, words in wrong.items()):
        return "doubled run"
    if any(key.startswith("mlflow/") for key in wrong):
        return "record incomplete"
    if any(words.startswith("lost") or ", should be" in words for words in wrong.values()):
        return "file lost"
    return "leftover"


def words_of(ended: Ended) -> str:
    """Say in a line how a command ended."""
    how = {CRASHED: "killed", 0: "done", 130: "interrupted"}.get(ended.code, "")
    return how or f"exit {ended.code}: {ended.message}"
