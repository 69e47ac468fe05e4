"""Compare what a study's folder says with what MLflow holds, trial by trial, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mer.errors import MerError
from mer.study.tracking.content import Content, is_of_today
from mer.study.tracking.found_runs import FoundRun, one_for_each
from mer.study.tracking.from_disk import StudyOnDisk
from mer.study.tracking.held import missing
from mer.study.tracking.store import STUDY
from mer.study.tracking.study_runs import StudyRuns

EARLIER_FORM = "its run is as an earlier version wrote it"


@dataclass(frozen=True)
class Difference:
    """A trial and its run in MLflow.

    Args:
        number: of the trial; None for the study's own run and for runs of trials that the journal does not know.
        must: what the run must hold; None where the folder does not say.
        words: how the run differs; none when it is as it must be.
    """

    number: int | None
    must: Content | None
    words: tuple[str, ...]


def differences(
    disk: StudyOnDisk, runs: StudyRuns, *, thorough: bool = True, known: Mapping[str, FoundRun] | None = None
) -> Iterator[Difference]:
    """Yield every trial that must have a run, in order, with how its run differs; then what else is wrong.

    One trial is read at a time.

    Args:
        thorough: read every value that MLflow holds; else a run whose digest is right is taken to be whole.
        known: the one run of each trial, where they were looked for already.
    Raises: whatever the store raises. A trial whose files are damaged is told in words.
    """
    found, extra = one_for_each(runs.find()) if known is None else (known, [])
    parent = found.get(STUDY)
    expected = set()
    for number in disk.recorded():
        expected.add(str(number))
        try:
            must = disk.content(number)
            _ = must.digest  # looks at its files
        except (OSError, ValueError, MerError) as fault:
            yield Difference(number, None, (f"its files cannot be read: {fault}",))
            continue
        words = tuple(_words(disk, number, must, found.get(str(number)), parent, runs, thorough))
        yield Difference(number, must, words)
    for run in extra:
        yield Difference(None, None, (f"a second run of trial {run.trial}: {run.run_id}, {run.status}",))
    for trial in sorted(set(found) - expected - {STUDY}):
        if not found[trial].deleted:
            yield Difference(None, None, (f"a run of trial {trial}, which the journal does not know",))
    if parent is None or parent.deleted:
        yield Difference(None, None, ("the study has no run of its own" if parent is None else "its run is deleted",))


def _words(
    disk: StudyOnDisk,
    number: int,
    must: Content,
    run: FoundRun | None,
    parent: FoundRun | None,
    runs: StudyRuns,
    thorough: bool,
) -> Iterator[str]:
    if run is not None and run.deleted:
        return  # its owner deleted it: so be it
    if disk.unfinished_files(number):
        yield "its tables are not made yet"
    if run is None:
        yield "it has no run"
        return
    proven = run.digest == must.digest
    if proven and run.status == must.status and not thorough:
        return
    if run.digest and not is_of_today(run.digest):
        yield EARLIER_FORM
        return
    yield from missing(must, runs.held(run.run_id), parent.run_id if parent else "").words()
    if not proven:
        yield "it is not proven: its digest is another" if run.digest else "it is not proven: it has no digest"
