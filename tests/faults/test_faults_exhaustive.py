"""Every operation of a study goes wrong once: a selection here, the whole in docs/survival.md."""

from __future__ import annotations

import pytest

from benchmarks.faults.case import Size, Verdict, judge
from benchmarks.faults.exhaustive import cases_of, run_cases
from benchmarks.faults.luck import draw
from benchmarks.faults.world.faults import OneFault
from benchmarks.faults.world.kinds import ALONE, KINDS, PACKS, SEVERAL, Kind

DOMAINS = ("file", "mlflow", "moment")
SMALL = Size(trials=2, epochs=2)

# Defects that the simulated world has found: study, fault, operation (a piece of its words), which of them.
FOUND = {
    "a checkpoint whose successor never came": (
        ALONE,
        "crash before",
        "rename small/trials/00000/last.safetensors",
        -1,
    ),
    "a half-saved checkpoint of a worker": (ALONE, "crash inside", "write small/trials/00000/.last.safetensors", 0),
    "a half-written note of the lock's owner": (ALONE, "crash before", "chmod ..small.owner.json", 0),
    "a half-written object of the store": (ALONE, "crash inside", "write .store/", 0),
    "a picture that was drawn and not told": (
        ALONE,
        "crash after",
        "rename small/trials/00000/artifacts/confusion",
        -1,
    ),
    "dropped weights that were not collected": (SEVERAL, "crash after", "unlink small/trials/00003/best.safe", 0),
    "a proof that could not be removed": (ALONE, "ESTALE", "look small/.proof", -1),
    "a run made by a call without an answer": (ALONE, "lost answer", "create_run 0", 0),
    "values of a run that got in half": (ALONE, "error inside", "log_batch 0", 0),
    "a parent without an answer": (ALONE, "lost answer", "create_run study", 0),
    "a worker lost before it began": (ALONE, "worker lost", "pending 0", 0),
    "a worker lost between two trials": (ALONE, "worker lost", "idle 0", 0),
    "a report that nobody heard": (PACKS, "worker lost", "stepped", 0),
    "a node lost for minutes": (SEVERAL, "node lost", "epoch 0", 0),
}


def say(verdict: Verdict) -> str:
    lines = [f"{verdict.outcome} {verdict.codes}", *(f"{key}: {words}" for key, words in verdict.wrong.items())]
    return "\n".join([*lines, *(ended.message + ended.trace for ended in verdict.ended if ended.code)])


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_before(name, tmp_path):
    kind, fault, words, which = FOUND[name]
    size = Size(trials=5, epochs=2) if kind is SEVERAL else SMALL
    cases = [case for case in cases_of(kind, size, tmp_path / "world", DOMAINS) if case.fault == fault]
    case = [case for case in cases if words in case.operation.words.replace("studies/", "", 1)][which]
    plan = OneFault(case.operation.domain, case.operation.index, case.fault)
    verdict = judge(kind, size, 0, tmp_path / "world", [plan])
    assert verdict.is_good, say(verdict)


def check(kind: Kind, size: Size, every: int, tmp_path) -> None:
    cases = list(cases_of(kind, size, tmp_path / "world", DOMAINS))
    found = run_cases(cases[::every], size, tmp_path / "world")
    assert found.cases == len(cases[::every])
    assert not found.bad, "\n\n".join(f"{case.words}\n{say(verdict)}" for case, verdict in found.bad)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_so_many_operations_fail_once(kind, tmp_path):
    check(kind, SMALL, 199, tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_more_operations_of_a_larger_study_fail_once(kind, tmp_path):
    check(kind, Size(trials=6, epochs=2), 181, tmp_path)


def unlucky(seeds: range, tmp_path) -> None:
    for seed in seeds:
        drawn = draw(seed)
        verdict = judge(drawn.kind, drawn.size, drawn.study_seed, tmp_path / "world", drawn.plans)
        assert verdict.is_good, f"python -m benchmarks.faults --seed {seed}\n{say(verdict)}"


def test_faults_at_random(tmp_path):
    unlucky(range(4), tmp_path)


@pytest.mark.faults
def test_more_faults_at_random(tmp_path):
    unlucky(range(4, 36), tmp_path)
