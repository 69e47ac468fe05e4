"""Compare what is left of a disturbed study with a study that nobody disturbed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.kills.snapshot import PARENT, VARYING, Run, Snapshot

_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED"}
_TABLES = ("config.json", "per_class.csv", "confusion.csv", "dev_predictions.csv")
_OWN_BESIDE = {".store", "mlflow.db", "mlartifacts"}  # the lock of a study stays
_VARYING_PARENT = ("mlflow.note.content", "mlflow.source", "mlflow.user", "mer.git")


@dataclass
class Verdict:
    """What is wrong with a study; all empty for one that is as if nobody had disturbed it.

    Args:
        lost: trials or epochs that are not there.
        doubled: trials or epochs that are there twice.
        incomplete: everything else that differs: numbers, states, records, leftovers.
        false_exit: commands whose exit code was not true.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    false_exit: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.incomplete or self.false_exit)

    def __str__(self) -> str:
        said = [f"{kind}: {word}" for kind, words in vars(self).items() for word in words]
        return "\n".join(said) or "as if nobody had disturbed it"


def compare(found: Snapshot, expected: Snapshot, files_in: Path | None = None) -> Verdict:
    """Judge a study by its twin.

    Args: files_in: where MLflow must have put the files of runs; None: anywhere.
    """
    verdict = Verdict()
    _numbers(verdict, "the journal", Counter(list(found.trials)), Counter(list(expected.trials)))
    for number in sorted(found.trials.keys() & expected.trials.keys()):
        if found.trials[number] != expected.trials[number]:
            verdict.incomplete.append(f"trial {number} differs: {_differing(found, expected, number)}")
    _numbers(verdict, "artifacts/", Counter(list(found.histories)), Counter(list(expected.histories)))
    for number in sorted(found.histories.keys() & expected.histories.keys()):
        _histories(verdict, number, found.histories[number], expected.histories[number])
    if found.weights != expected.weights:
        verdict.incomplete.append(f"weights differ: {sorted(dict(found.weights.items() ^ expected.weights.items()))}")
    missing, more = expected.files - found.files, found.files - expected.files
    verdict.incomplete += [f"no {name}" for name in sorted(missing)]
    verdict.incomplete += [f"left over: {name}" for name in sorted(more)]
    beside = found.beside - expected.beside - _OWN_BESIDE
    verdict.incomplete += [f"left over beside the study: {name}" for name in sorted(beside)]
    _runs(verdict, found, expected, files_in)
    return verdict


def _numbers(verdict: Verdict, where: str, found: Counter[int], expected: Counter[int]) -> None:
    verdict.lost += [f"trial {number} is not in {where}" for number in sorted(expected - found)]
    verdict.doubled += [f"trial {number} is in {where} once too often" for number in sorted(found - expected)]


def _differing(found: Snapshot, expected: Snapshot, number: int) -> str:
    one, other = vars(found.trials[number]), vars(expected.trials[number])
    return "; ".join(f"{key} {one[key]}, not {other[key]}" for key in one if one[key] != other[key])


def _histories(verdict: Verdict, number: int, found: list[dict[str, str]], expected: list[dict[str, str]]) -> None:
    epochs, wanted = (Counter(int(float(row["epoch"])) for row in rows) for rows in (found, expected))
    verdict.lost += [f"epoch {epoch} of trial {number} is not in history.csv" for epoch in sorted(wanted - epochs)]
    verdict.doubled += [f"epoch {epoch} of trial {number} is twice in history.csv" for epoch in sorted(epochs - wanted)]
    if epochs == wanted and found != expected:
        verdict.incomplete.append(f"numbers of trial {number} differ in history.csv")


def _runs(verdict: Verdict, found: Snapshot, expected: Snapshot, files_in: Path | None) -> None:
    _numbers(verdict, "MLflow", Counter(r.number for r in found.runs), Counter(r.number for r in expected.runs))
    twins = {run.number: run for run in expected.runs}
    for run in found.runs:
        if run.number in twins:
            name = "the study's run" if run.number == PARENT else f"the run of trial {run.number}"
            for kind, word in _faults_of_run(run, twins[run.number], files_in):
                getattr(verdict, kind).append(f"{name}: {word}")
    parents = {run.tags.get("mlflow.parentRunId") for run in found.runs if run.number != PARENT}
    if len(parents) > 1:
        verdict.incomplete.append(f"trials have {len(parents)} parents in MLflow")
    for run in found.runs:
        trial = found.trials.get(run.number)
        if trial is not None and run.status != _STATUS.get(trial.state):
            verdict.incomplete.append(f"the run of trial {run.number} is {run.status}, the trial {trial.state}")


def _faults_of_run(run: Run, twin: Run, files_in: Path | None) -> Iterator[tuple[str, str]]:
    if run.status != twin.status:
        yield "incomplete", f"is {run.status}, not {twin.status}"
    if run.params != twin.params:
        yield "incomplete", f"parameters differ: {sorted(dict(run.params.items() ^ twin.params.items()))}"
    for tag in ("mer.outcome", "mer.reason"):
        if run.tags.get(tag) != twin.tags.get(tag):
            yield "incomplete", f"{tag} is {run.tags.get(tag)}, not {twin.tags.get(tag)}"
    for point in sorted(twin.points.keys() - run.points.keys()):
        yield "lost", f"no {point[0]} at step {point[1]}"
    for point in sorted(run.points.keys() - twin.points.keys()):
        yield "doubled", f"{point[0]} at step {point[1]}, which its twin does not have"
    for point in sorted(run.points.keys() & twin.points.keys()):
        values = run.points[point]
        if len(values) > 1 and run.number != PARENT:
            yield "doubled", f"{point[0]} at step {point[1]} is there {len(values)} times"
        elif point[0] not in VARYING and run.number != PARENT and values != twin.points[point]:
            yield "incomplete", f"{point[0]} at step {point[1]} is {values}, not {twin.points[point]}"
    yield from _faults_of_files(run, twin, files_in)


def _faults_of_files(run: Run, twin: Run, files_in: Path | None) -> Iterator[tuple[str, str]]:
    if files_in is not None and not run.artifacts.resolve().is_relative_to(files_in.resolve()):
        yield "incomplete", f"its files are in {run.artifacts}, not below {files_in}"
    ours, theirs = (
        {p.relative_to(of.artifacts): p for p in of.artifacts.rglob("*") if p.is_file()} for of in (run, twin)
    )
    for name in sorted(theirs.keys() - ours.keys()):
        yield "incomplete", f"no file {name}"
    for name in sorted(ours.keys() - theirs.keys()):
        yield "incomplete", f"left over: file {name}"
    for name in sorted(ours.keys() & theirs.keys()):
        if name.name in _TABLES and ours[name].read_bytes() != theirs[name].read_bytes():
            yield "incomplete", f"file {name} differs"
