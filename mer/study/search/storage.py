"""Optuna's storage for the one driver that may write a study: what has been read is not read again, nor looked for.

Optuna's own file backend opens the file for every question, since other processes might have written, and waits for
the disk once for every parameter and epoch. To ask for a trial, Optuna goes through all of them for one that waits.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState

from mer.files import fsync_folder
from mer.study.search.journal import CONTRADICTIONS, contradiction, mend_journal
from mer.study.search.operations import parse_line

RETRY_OF = "retry_of"  # attribute of a trial: the number of the failed one whose parameters it repeats

_NOTES = frozenset({2, 3, 8, 9})  # operations of Optuna's that set attributes of a study or trial


class OwnJournal(BaseJournalBackend):
    """A journal that nobody else appends to: its study's lock is held.

    Args: journal: the file; made when it is not there, mended when its end is damaged.
    Raises: MerError as `mend_journal` does.
    """

    def __init__(self, journal: Path) -> None:
        self._path = journal
        self._unread, self._first = mend_journal(journal), 0  # operations that are not applied, number of the first
        self._held: list[str] | None = None  # lines of a block of `together`
        self._refused: OSError | None = None  # why a write failed: what is in memory is ahead of the file since
        if not journal.exists():
            journal.touch()
            fsync_folder(journal.parent)
        self._bytes = journal.stat().st_size

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        self._unread = self._unread[log_number_from - self._first :]
        self._first = log_number_from
        return list(self._unread)

    @property
    def unread(self) -> list[dict[str, Any]]:
        """Operations that Optuna has not applied yet."""
        return self._unread

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = [json.dumps(log, separators=(",", ":")) for log in logs]
        if self._held is None:
            self._write(lines)
        else:
            self._held += lines
        self._unread += map(json.loads, lines)  # as a later driver will read it

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what is appended in the block at its end, with one wait for the disk; also when the block raises."""
        if self._held is not None:
            yield
            return
        self._held = []
        try:
            yield
        finally:
            lines, self._held = self._held, None
            if lines:
                self._write(lines)

    def _write(self, lines: Sequence[str]) -> None:
        """Append lines, all of them or none. Raises: OSError naming the file; nothing can be written after it."""
        if self._refused is not None:
            raise self._refused
        data = memoryview("".join(f"{line}\n" for line in lines).encode())
        try:
            with self._path.open("ab", buffering=0) as file:
                if file.tell() != self._bytes:
                    self._pass_over_notes()
                try:
                    while data:
                        data = data[file.write(data) :]
                    os.fsync(file.fileno())
                except OSError:
                    with suppress(OSError):
                        file.truncate(self._bytes)  # a torn line, and no driver could read what comes after it
                    raise
                self._bytes = file.tell()
        except OSError as fault:
            self._refused = OSError(fault.errno, fault.strerror, str(self._path))
            raise self._refused from fault

    def _pass_over_notes(self) -> None:
        """Leave notes of another program, such as a dashboard, to the next driver.

        Raises: OSError when it wrote anything else: a trial of its own would take the number of one of ours.
        """
        with self._path.open("rb") as file:
            file.seek(self._bytes)
            *lines, rest = file.read().split(b"\n")
            size = file.tell()
        codes = {operation and operation["op_code"] for operation in map(parse_line, lines)}
        if not codes or rest or not codes <= _NOTES:
            raise OSError(errno.EBUSY, "another program wrote into it while this study ran")
        self._bytes = size


class StudyStorage(JournalStorage):
    """Optuna's JournalStorage with one study, that counts its trials and knows which of them wait."""

    def __init__(self, journal: Path) -> None:
        self._own_journal = OwnJournal(journal)
        operations = self._own_journal.unread
        try:
            super().__init__(self._own_journal)
        except CONTRADICTIONS as fault:
            raise contradiction(journal, operations, fault) from fault
        self.count = 0
        self._waiting: set[int] = set()  # ids of trials
        for study in self.get_all_studies():
            study_id = self.get_study_id_from_name(study.study_name)
            for trial in self.get_all_trials(study_id, deepcopy=False):
                self.count += 1
                if trial.state == TrialState.WAITING:
                    self._waiting.add(self.get_trial_id_from_study_id_trial_number(study_id, trial.number))

    def together(self) -> AbstractContextManager[None]:
        """Make one durable write of all that is written in the block."""
        return self._own_journal.together()

    @property
    def begun(self) -> int:
        """How many trials were handed out."""
        return self.count - len(self._waiting)

    @property
    def waiting(self) -> list[FrozenTrial]:
        """Trials that were proposed and not handed out: those that repeat failed ones first, then the oldest."""
        waiting = [self.get_trial(identity) for identity in sorted(self._waiting)]
        return sorted(waiting, key=lambda trial: RETRY_OF not in trial.user_attrs)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        identity = super().create_new_trial(study_id, template_trial)
        self.count += 1
        if template_trial is not None and template_trial.state == TrialState.WAITING:
            self._waiting.add(identity)
        return identity

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        done = super().set_trial_state_values(trial_id, state, values)
        if state != TrialState.WAITING:
            self._waiting.discard(trial_id)
        return done

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if states == (TrialState.WAITING,) and not deepcopy:
            return self.waiting
        return super().get_all_trials(study_id, deepcopy, states)
