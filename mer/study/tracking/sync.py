"""Bring MLflow up to what a study's folder says, while no driver works on the study."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mer.study.paths import CODE_DIFF, PICTURE, REPORT, SPACE, SPACE_TYPED, SUMMARY
from mer.study.tracking.about import About
from mer.study.tracking.content import Content
from mer.study.tracking.differences import differences
from mer.study.tracking.from_disk import StudyOnDisk
from mer.study.tracking.outbox import Outbox
from mer.study.tracking.shared_view import view_of
from mer.study.tracking.store import STUDY
from mer.study.tracking.study_record import RUNNING, StudyRecord
from mer.study.tracking.study_runs import StudyRuns, clock_ms
from mer.terminal.commands import command

_AT_ONCE = 25  # runs of one transaction


@dataclass
class Synced:
    """What was done.

    Args:
        trials: so many must have a run.
        written: trials whose run was made or mended -> what was wrong with it.
        extra: superfluous runs that were put into the trash.
        left: trial -> why it is not in.
    """

    trials: int = 0
    written: dict[int, tuple[str, ...]] = field(default_factory=dict)
    extra: int = 0
    left: dict[int, str] = field(default_factory=dict)


def sync_study(disk: StudyOnDisk, outbox: Outbox, runs: StudyRuns, *, thorough: bool = False) -> Synced:
    """Write what is missing, some trials at a time, however many there are. Repeating it writes nothing more.

    Args: thorough: compare every value that MLflow holds, not only digests.
    Raises: StoreAway, and whatever the store raises when it is asked.
    """
    about = About(view_of(disk.identity, disk.params))
    record = StudyRecord(runs, disk.identity, disk.described, outbox.git_sha, about=about)
    record.begin()
    done = Synced(extra=record.extra)
    due: list[Content] = []
    for one in differences(disk, runs, thorough=thorough, known=record.found):
        if one.number is None:
            continue
        done.trials += 1
        if one.must is None:
            done.left[one.number] = one.words[0]
            continue
        if disk.unfinished_files(one.number):
            done.left[one.number] = "its tables are not made yet: --resume makes them"
        if one.words:
            due.append(one.must)
            done.written[one.number] = one.words
        outbox.note(one.must.trial, one.must.digest, confirmed=not one.words)
        if len(due) == _AT_ONCE:
            _write(due, outbox, record, done)
            due = []
    _write(due, outbox, record, done)
    _close(disk.folder, outbox, record, whole=not done.left)
    return done


def _write(due: list[Content], outbox: Outbox, record: StudyRecord, done: Synced) -> None:
    if not due:
        return
    written = record.write(due)
    outbox.confirm({content.trial: content.digest for content in due if content.trial in written.runs})
    for trial, fault in written.failed.items():
        done.left[int(trial)] = str(fault).partition("\n")[0]
        done.written.pop(int(trial), None)


def _close(folder: Path, outbox: Outbox, record: StudyRecord, *, whole: bool) -> None:
    """End the study's own run as its driver would have; that of a driver that was killed, as KILLED."""
    if outbox.closing is not None:
        record.close(outbox.closing, study_files(folder), whole=whole)
    elif (mine := record.found.get(STUDY)) is None or mine.status == RUNNING:
        record.add(study_files(folder))
        record.runs.set_status(record.parent, "KILLED", clock_ms())


def study_files(folder: Path) -> list[Path]:
    """List the files that belong to the study's own run."""
    return [folder / name for name in (SPACE, SPACE_TYPED, CODE_DIFF, SUMMARY, REPORT, PICTURE)]


def sync_words(folder: Path) -> str:
    """Return the command that syncs a study, to be pasted."""
    return command("mer.study", "sync", folder)
