"""All findings of a study on which nobody works. Reads only; but the places of files in MLflow's database follow a
folder of studies that was moved."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Iterator

from mer.checkpoints import Store
from mer.study.audit.findings import EITHER, Finding, trial_words
from mer.study.audit.folders import folder_findings
from mer.study.audit.journal import journal_findings
from mer.study.audit.weights import weight_findings
from mer.study.folder.leftovers import leftovers_beside, leftovers_of
from mer.study.search.stored_trial import ENDED
from mer.study.tracking.differences import EARLIER_FORM, differences
from mer.study.tracking.found_runs import Looking
from mer.study.tracking.from_disk import StudyOnDisk
from mer.study.tracking.moved import follow_the_folder
from mer.study.tracking.outbox import Outbox
from mer.study.tracking.slowness import Slowness
from mer.study.tracking.store import TrackingStore
from mer.study.tracking.study_runs import StudyRuns


def on_disk(disk: StudyOnDisk) -> Iterator[Finding]:
    """Yield the findings of journal, folders and weights. Takes well under a millisecond a trial."""
    yield from journal_findings(disk)
    yield from folder_findings(disk)
    yield from weight_findings(disk, Store(disk.folder.parent))


def leftovers(disk: StudyOnDisk) -> Iterator[Finding]:
    """Yield what killed processes have left."""
    ended = [trial.number for trial in disk.trials if trial.state in ENDED]
    for one in [*leftovers_of(disk.folder, ended), *leftovers_beside(disk.folder.parent)]:
        yield Finding("leftover", str(one.path), one.kind, EITHER)


def in_mlflow(disk: StudyOnDisk, store: TrackingStore, *, thorough: bool) -> Iterator[Finding]:
    """Yield how MLflow differs from the folder.

    Args: thorough: read every value; else a run whose digest is right is taken to be whole.
    Raises: whatever MLflow raises.
    """
    told: list[str] = []
    with contextlib.suppress(OSError, sqlite3.Error):  # a read-only copy
        follow_the_folder(store, told.append)
    for words in told:
        yield Finding("MLflow", store.shown, words, then="when it has ended, type the same again")
    slowness = Slowness(lambda words: print(words, file=sys.stderr, flush=True), "comparing goes on")
    looking = Looking(Outbox(disk.folder).experiment(store.shown), answered=slowness.answered)
    runs = StudyRuns.look(store, disk.identity.name, disk.identity.generation, looking)
    if runs is None:
        yield Finding("MLflow", store.shown, f"it has no experiment {disk.identity.name!r}", EITHER)
        return
    earlier = 0
    for one in differences(disk, runs, thorough=thorough):
        where = disk.identity.name if one.number is None else trial_words(one.number)
        for words in one.words:
            earlier += words == EARLIER_FORM
            if words not in (_TOLD_BY_FOLDERS, EARLIER_FORM):
                yield Finding("MLflow", where, words, EITHER)
    if earlier:
        yield Finding("MLflow", disk.identity.name, f"{earlier} runs are as an earlier version wrote them", EITHER)


_TOLD_BY_FOLDERS = "its tables are not made yet"
