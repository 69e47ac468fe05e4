"""The thread that keeps MLflow up with a study. It may be behind, and catches up; it never holds the study up.

While MLflow takes nothing, it is asked again with growing pauses, and one warning is given. What is due of a trial that
has ended is read from its folder again when its turn comes, so an outage of any length takes no memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from mer.errors import MerError
from mer.study.search.stored_trial import ENDED
from mer.study.tracking.content import Closing, Content, StudyIdentity, TrialFacts, content_of, is_of_today
from mer.study.tracking.from_disk import facts_of, filled, has_files, is_begun
from mer.study.tracking.outbox import Outbox
from mer.study.tracking.patience import Patience
from mer.study.tracking.run_batch import Written
from mer.study.tracking.slowness import Slowness
from mer.study.tracking.store import STUDY
from mer.study.tracking.study_record import RUNNING, StudyRecord
from mer.study.tracking.sync import study_files

_GATHER_S = 1.0  # what is told within this time is written together
_MOST_RUNS = 100  # of one batch: others may write to the database too, and wait for its end
_PATIENCE_S = 8.0  # of a study's end, when nothing is being written
_OPENING_S = 120.0  # the same while the database is made, seconds of work for a busy machine
_LAST_PAUSE_S = 1.0  # between attempts at a study's end
_LAST_TRIES = 3  # at a study's end, for what is refused though the store works


@dataclass(frozen=True)
class Behind:
    """What MLflow does not have when a study ends. False when it has everything.

    Args:
        trials: numbers.
        study: the study's own run is not closed.
        cause: what MLflow said last.
    """

    trials: tuple[int, ...] = ()
    study: bool = False
    cause: str = ""

    def __bool__(self) -> bool:
        return bool(self.trials) or self.study

    @property
    def words(self) -> str:
        """Say how much is missing."""
        if not self.trials:
            return "the end of the study is not yet in MLflow"
        return f"{len(self.trials)} trial{'s' if len(self.trials) > 1 else ''} not yet in MLflow"


class Writer:
    """Writes what `put` was told last of each trial.

    Args:
        folder: the study folder.
        open_record: opens the store; called in the thread, again after a failure. It is given what is told after every
            step that was written, and after every answer of what is read.
        say: tells the user something.
        redact: takes secrets out of what a library said.
    """

    def __init__(
        self,
        folder: Path,
        identity: StudyIdentity,
        outbox: Outbox,
        open_record: Callable[[Callable[[], None], Callable[[], None]], StudyRecord],
        say: Callable[[str], None],
        redact: Callable[[str], str],
    ) -> None:
        self.folder, self.identity, self.outbox = folder, identity, outbox
        self.patience = Patience(say, redact)
        self.slowness = Slowness(say, "the study goes on meanwhile")
        self._open_record = open_record
        self._record: StudyRecord | None = None
        self._first = self._stale = True  # the runs have to be looked for before anything is written
        self._due: dict[int, tuple[TrialFacts, Content | None]] = {}  # the last word about each trial
        self._begun: set[int] = set()  # trials that this driver has begun, or goes on with
        self._goes_on: set[int] = set()  # those of which nothing was written since: their runs come out of the trash
        self._taken: tuple[int, ...] = ()  # of these it is not known yet what got in
        self._earlier: list[FrozenTrial] = []  # of former drivers, not compared yet
        self._closing: Closing | None = None
        self._whole = True
        self._closed = self._abandoned = False
        self._changed = threading.Condition()
        self._progress = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="mer-mlflow", daemon=True)

    # -- told by others ------------------------------------------------------------------------------------------

    def start(self, earlier: Iterable[FrozenTrial]) -> None:
        """Open the study's record, then bring in what former drivers left unwritten of these trials."""
        self._earlier = [trial for trial in earlier if trial.state != TrialState.WAITING]
        self._thread.start()

    def put(self, facts: TrialFacts, content: Content | None) -> None:
        """Note what a trial's run must hold; what was noted of it before is over.

        Args: content: None for one that has ended: what its folder says when its turn comes.
        """
        with self._changed:
            if facts.outcome == "running" and facts.number not in self._begun:
                self._begun.add(facts.number)
                self._goes_on.add(facts.number)
            self._due[facts.number] = _left_to_disk(facts, content) if self._stale else (facts, content)
            self._changed.notify()

    def close(self, closing: Closing, *, whole: bool = True) -> Behind:
        """Write all that is due, then the end of the study. Gives up when nothing gets in for some seconds.

        Args: whole: every trial has its tables; without them, the study's run is closed without proof.
        """
        with self._changed:
            self._whole, self._closing, asked = whole, closing, time.monotonic()
            self._changed.notify()
        while self._thread.is_alive():
            self._thread.join(0.05)
            opening = self._record is None and not self.patience.failures
            if time.monotonic() - max(self._progress, asked) > (_OPENING_S if opening else _PATIENCE_S):
                self._abandoned = True  # the thread is stuck in a call; it ends with the process
                break
        with self._changed:
            unseen = (trial.number for trial in self._earlier if not self.outbox.is_in(str(trial.number)))
            behind = tuple(sorted({*self._due, *self._taken, *unseen}))
        return Behind(behind, not self._closed, self.patience.cause or "it does not answer")

    @property
    def experiment_id(self) -> str:
        """The study's experiment. Raises: RuntimeError before it was opened."""
        if self._record is None:
            raise RuntimeError("the store could not be opened")
        return self._record.runs.experiment_id

    # -- the thread ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        last_tries = 0
        while not self._closed and not self._abandoned:
            self._wait()
            closing = self._closing  # nothing is put any more once it is set
            self.patience.asks()
            self.slowness.begins()
            progress, due = self._progress, len(self._due)
            try:
                record = self._opened()
                refused = self._write(record)
                self.patience.succeeded()
                last_tries += bool(closing and refused)
                if closing and (not self._due or last_tries >= _LAST_TRIES):
                    whole = self._whole and not self._due
                    record.close(closing, study_files(self.folder), whole=whole)
                    if whole:
                        self._confirm({STUDY: closing.digest})
                    self._closed = True
            except Exception as fault:  # the record must never take the study down
                self._stale = True
                if closing and len(self._due) >= due:
                    self._progress = progress  # answers, and writes that are repeated each time, lead nowhere
                self.patience.failed(fault, aloud=not self._closing)

    def _wait(self) -> None:
        """Wait until there is something to do and the store may be asked, then a moment for more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._due or self._stale)
            while not self._closing and (left := self.patience.pause_s) > 0:
                self._changed.wait(left)
            if not self._stale:
                self._changed.wait_for(lambda: self._closing or len(self._due) >= _MOST_RUNS, _GATHER_S)
        time.sleep(min(self.patience.pause_s, _LAST_PAUSE_S))

    def _opened(self) -> StudyRecord:
        """Return the record, opened and looked through where that is due."""
        if self._record is None or self.patience.failures:  # an experiment that was put into the trash is restored
            self._record = self._open_record(self._alive, self._answered)
        if self._stale:
            record, self._record = self._record, None  # until it has answered
            record.begin(RUNNING)
            if self._first:
                record.add(study_files(self.folder))
            self._first, self._stale, self._record = False, False, record
            self._compare(record)
        return self._record

    def _compare(self, record: StudyRecord) -> None:
        """Put in what former drivers left unwritten; a trial that goes on meanwhile has the last word."""
        for trial in self._earlier:
            name, ended = str(trial.number), trial.state in ENDED
            facts = facts_of(trial)  # a disk may have refused the note of its end: the last one is of its interruption
            due = self.outbox.due.get(name, "")
            if ended and is_of_today(due) and record.has(name, due, facts.outcome):
                self._confirm({name: due})
            elif has_files(self.folder, trial.number) if ended else self._was_begun(record, trial.number):
                with self._changed:
                    self._due.setdefault(trial.number, (facts, None))
        self._earlier = []

    def _was_begun(self, record: StudyRecord, number: int) -> bool:
        return str(number) in record.found or is_begun(self.folder, number)

    def _write(self, record: StudyRecord) -> bool:
        """Write one batch. What did not get in is due again. Returns True when something was refused."""
        with self._changed:
            taken = {number: self._due.pop(number) for number in list(self._due)[:_MOST_RUNS]}
            self._taken = tuple(taken)
        try:
            contents, failed = self._read(taken)
            new = [content for number, content in contents.items() if self._is_news(record, number, content)]
            written = record.write(new) if new else Written()
            self._goes_on -= {int(trial) for trial in written.runs}
        except Exception:
            self._put_back(taken)
            raise
        failed |= {int(trial): fault for trial, fault in written.failed.items()}
        self._put_back({number: taken[number] for number in failed})
        over = [content for number, content in contents.items() if content.status != RUNNING and number not in failed]
        self._confirm({content.trial: content.digest for content in over})
        for fault in list(failed.values())[:1]:
            self._stale = True
            self.patience.refused(fault, aloud=not self._closing)
        if taken and not failed:
            self.patience.refusals = 0
        return bool(failed)

    def _is_news(self, record: StudyRecord, number: int, content: Content) -> bool:
        return number in self._goes_on or not record.has(content.trial, content.digest_if_over)

    def _read(
        self, taken: Mapping[int, tuple[TrialFacts, Content | None]]
    ) -> tuple[dict[int, Content], dict[int, Exception]]:
        """Return what the runs must hold, from disk where it is not in memory, and what could not be read."""
        contents: dict[int, Content] = {}
        failed: dict[int, Exception] = {}
        for number, (facts, content) in taken.items():
            try:
                contents[number] = content or content_of(self.identity, filled(self.folder, facts))
            except (OSError, ValueError, MerError) as fault:
                failed[number] = fault
                continue
            if content is None:
                self.outbox.note(str(number), contents[number].digest, confirmed=False)
        return contents, failed

    def _put_back(self, taken: dict[int, tuple[TrialFacts, Content | None]]) -> None:
        """Make trials due again, unless there is news of them."""
        with self._changed:
            self._taken = ()
            for number, (facts, content) in taken.items():
                self._due.setdefault(number, _left_to_disk(facts, content))

    def _confirm(self, digests: dict[str, str]) -> None:
        self.outbox.confirm({t: digest for t, digest in digests.items() if self.outbox.confirmed.get(t) != digest})

    def _answered(self) -> None:
        self._alive()
        self.slowness.answered()

    def _alive(self) -> None:
        self._progress = time.monotonic()


def _left_to_disk(facts: TrialFacts, content: Content | None) -> tuple[TrialFacts, Content | None]:
    """Drop what the folder of a trial that has ended tells again; others keep what they hold."""
    if facts.outcome in ("running", "interrupted"):
        return facts, content
    return replace(facts, rows=(), config={}, files=()), None
