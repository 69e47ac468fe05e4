"""Mend what can be mended without running a trial. No number is ever deleted."""

from __future__ import annotations

from pathlib import Path

from mer.checkpoints import Store
from mer.study.audit.weights import publish, relink
from mer.study.folder.leftovers import sweep
from mer.study.folder.lock import study_lock
from mer.study.paths import JOURNAL
from mer.study.search.journal import mend_journal
from mer.study.search.stored_trial import ENDED
from mer.study.tracking.command import sync_command
from mer.study.tracking.from_disk import StudyOnDisk


def repair(folder: Path) -> None:
    """Mend journal, links and weights, sweep leftovers, write to MLflow what is missing there. Prints what sync does.

    Raises: MerError when a live driver has the study, or MLflow does not take everything; OSError.
    """
    with study_lock(folder.parent, folder.name):
        mend_journal(folder / JOURNAL)
        disk, store = StudyOnDisk.read(folder), Store(folder.parent)
        if store.root.is_dir():
            relink(store, disk)
            publish(store, disk)
        sweep(folder, [trial.number for trial in disk.trials if trial.state in ENDED])
    sync_command(str(folder), folder.parent, thorough=True)
