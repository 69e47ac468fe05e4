"""Write what is due of many runs in two transactions: values, then files, then statuses with their proof."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mer.study.tracking.found_runs import FoundRun
from mer.study.tracking.points import Point
from mer.study.tracking.store import TAG_DIGEST
from mer.study.tracking.study_runs import StudyRuns, clock_ms


class StoreAway(Exception):
    """The store takes nothing just now: whatever was not confirmed has to be written again later."""


@dataclass
class Patch:
    """What is to be written of one run.

    Args:
        trial: number as text, or `store.STUDY`.
        run_id: of the run; "" when it has to be made.
        create: name, tags and start time in ms of a new run.
        restore: take it out of the trash first.
        reopen: set its status to RUNNING first.
        ending: status and end time in ms.
        digest: the proof, written after everything else; "" for none.
        replaces: the run in whose place a new one comes; it loses its proof first, and goes into the trash last.
    """

    trial: str
    run_id: str = ""
    create: tuple[str, Mapping[str, str], int] | None = None
    restore: bool = False
    reopen: bool = False
    params: Mapping[str, str] = field(default_factory=dict)
    points: Sequence[Point] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[Path] = ()
    ending: tuple[str, int] | None = None
    digest: str = ""
    replaces: FoundRun | None = None


@dataclass
class Written:
    """What became of a batch.

    Args:
        runs: trial -> run id, of those that are written whole.
        failed: trial -> what was refused of it.
    """

    runs: dict[str, str] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)


def write_batch(runs: StudyRuns, patches: Iterable[Patch], alive: Callable[[], None] = lambda: None) -> Written:
    """Write all patches. What is refused of one run keeps no other run from being written.

    Args: alive: told after every step that was done.
    Raises: StoreAway when the store refuses everything; what was written until then is not reported.
    """
    done = Written()
    left = _together(runs, list(patches), _log, done, alive)
    left = [patch for patch in left if _tried(runs, patch, _upload, done, alive)]
    left = _together(runs, left, _end, done, alive)
    done.runs = {patch.trial: patch.run_id for patch in left}
    return done


Step = Callable[[StudyRuns, Patch], None]


def _together(
    runs: StudyRuns, patches: list[Patch], step: Step, done: Written, alive: Callable[[], None]
) -> list[Patch]:
    """Do a step for all runs in one transaction; one by one where there is none, or it fails. Returns those done."""
    if runs.transactional and len(patches) > 1:
        before = [patch.run_id for patch in patches]
        try:
            with runs.together():
                for patch in patches:
                    step(runs, patch)
                    alive()
            return patches
        except Exception as fault:  # nothing of it is written: find out which run it was
            for patch, run_id in zip(patches, before, strict=True):
                patch.run_id = run_id
            _probe(runs, fault)
    return [patch for patch in patches if _tried(runs, patch, step, done, alive)]


def _tried(runs: StudyRuns, patch: Patch, step: Step, done: Written, alive: Callable[[], None]) -> bool:
    try:
        step(runs, patch)
    except Exception as fault:
        done.failed[patch.trial] = fault
        _probe(runs, fault)
        return False
    alive()
    return True


def _probe(runs: StudyRuns, fault: Exception) -> None:
    """Tell a run that is refused from a store that is away. Raises: StoreAway with the first fault as its cause."""
    try:
        runs.probe()
    except Exception:
        raise StoreAway(str(fault)) from fault


def _log(runs: StudyRuns, patch: Patch) -> None:
    if patch.replaces and patch.replaces.digest:
        runs.log(patch.replaces.run_id, tags={TAG_DIGEST: ""})
    if not patch.run_id and patch.create:
        patch.run_id = runs.create(*patch.create)
    if patch.restore:
        runs.restore(patch.run_id)
    if patch.reopen:
        runs.set_status(patch.run_id, "RUNNING")
    if patch.points or patch.params or patch.tags:
        runs.log(patch.run_id, patch.points, patch.params, patch.tags)


def _upload(runs: StudyRuns, patch: Patch) -> None:
    if patch.files:
        runs.upload(patch.run_id, patch.files)


def _end(runs: StudyRuns, patch: Patch) -> None:
    if patch.ending:
        runs.set_status(patch.run_id, *patch.ending)
    if patch.digest:
        runs.log(patch.run_id, tags={TAG_DIGEST: patch.digest})
    if patch.replaces:
        trash(runs, patch.replaces)


def trash(runs: StudyRuns, run: FoundRun) -> None:
    """Put a superfluous run into MLflow's trash; none stays RUNNING there."""
    if run.status == "RUNNING":
        runs.set_status(run.run_id, "KILLED", clock_ms())
    runs.delete(run.run_id)
