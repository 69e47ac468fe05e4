"""Record every trial: its files in the study's folder, then its run in MLflow.

Hooks only queue work. One thread writes the files of trials, and notes what MLflow must have; another, the writer's,
brings it there. So a study's folder is whole whatever MLflow does, and all of MLflow's record follows from it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from optuna.trial import FrozenTrial, TrialState

from mer.config import TrialConfig
from mer.errors import MerError
from mer.study.folder.standings import Standing
from mer.study.paths import trial_folder
from mer.study.search.stored_trial import ENDED
from mer.study.space.spec import StudySpec
from mer.study.tracking.about import NOTHING, About
from mer.study.tracking.content import Closing, Content, StudyIdentity, TrialFacts, content_of
from mer.study.tracking.found_runs import Looking
from mer.study.tracking.from_disk import artifact_files, facts_of, filled, has_files, is_half_begun
from mer.study.tracking.outbox import Outbox
from mer.study.tracking.store import TrackingStore
from mer.study.tracking.study_record import StudyRecord
from mer.study.tracking.study_runs import StudyRuns, clock_ms
from mer.study.tracking.trial_files import DevSplit, TrialFiles
from mer.study.tracking.writer import Behind, Writer
from mer.training import Row
from trainables.wire import Outcome

OpenRuns = Callable[[TrackingStore, str, str, Looking], StudyRuns]


@dataclass
class _Live:
    """A trial that runs. Its facts, its content and `rows` share one list, which grows."""

    facts: TrialFacts
    content: Content
    environment: dict[str, Any]
    rows: list[Row]
    epochs: set[float] = field(default_factory=set)


class Tracker:
    """The study's record. Implements `live_trial.Listener`.

    Args:
        store: where MLflow's record is.
        spec: the study.
        folder: the study folder, with `trials/<number>/`.
        generation: tells this search from earlier ones of the same name.
        environment: JSON-able description of code, packages and machine.
        dev: ids and labels of the dev split.
        after_trial: called in the tracker's thread once the files of an ended trial are written.
        say: tells the user something, once.
        open_runs: opens the store; `StudyRuns.open`, or what stands in for it.
        about: what is said beside the numbers.
    Attributes:
        errors: what could not be written to the study's folder, in words.
    """

    def __init__(
        self,
        store: TrackingStore,
        spec: StudySpec,
        folder: Path,
        generation: str,
        environment: Mapping[str, Any],
        dev: DevSplit,
        after_trial: Callable[[int, Outcome, Row | None], None] = lambda *_: None,
        say: Callable[[str], None] = lambda _: None,
        open_runs: OpenRuns = StudyRuns.open,
        about: About = NOTHING,
    ) -> None:
        self.store, self.spec, self.folder, self.environment = store, spec, folder, environment
        self.files, self.after_trial = TrialFiles(spec, folder, environment, dev), after_trial
        self.identity = StudyIdentity(
            spec.study, generation, tuple(o.metric for o in spec.objective), spec.objective[0].mode
        )
        self.errors: list[str] = []
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="mer-tracker", daemon=True)
        self._live: dict[int, _Live] = {}
        self._times: dict[int, tuple[int, int]] = {}  # start and end in ms, of trials that have ended
        self._begun: set[int] = set()  # read and written by the driver
        self._unwritten: list[tuple[TrialFacts, dict[str, Any]]] = []  # of trials whose files were refused
        self._tableless: set[int] = set()  # trials that have ended and whose tables could not be made
        self._goes_on = False  # the study may have runs in MLflow from before
        self._outbox = Outbox(folder)
        self._open_runs, self._about = open_runs, about
        self._writer = Writer(folder, self.identity, self._outbox, self._open_record, say, store.redact)

    # -- called by the driver; each returns at once ---------------------------------------------------------------

    def start(self, trials: list[FrozenTrial]) -> None:
        """Open the study's run, then bring in whatever earlier drivers left unwritten."""
        self._goes_on = any(trial.state != TrialState.WAITING for trial in trials)
        self._thread.start()
        place, git_sha = self.folder.resolve(), str(self.environment["git_sha"])
        self._queue.put(lambda: self._outbox.begin(place, git_sha, self.store.shown))
        self._queue.put(lambda: self._make_missing_files(trials))
        self._writer.start(trials)

    def trial_started(self, number: int, params: dict[str, Any], config: TrialConfig | None) -> None:
        self._begun.add(number)
        now = clock_ms()
        self._queue.put(lambda: self._begin(number, params, config, now))

    def trial_placed(self, number: int, *, has_worker: bool) -> None:
        return None  # a run is the same whoever trains it

    def trial_rows(self, number: int, rows: list[Row]) -> None:
        if rows:
            self._queue.put(lambda: self._add_rows(number, rows))

    def trial_ended(self, number: int, outcome: Outcome, best: Row | None, reason: str) -> None:
        self._begun.discard(number)
        now = clock_ms()
        self._queue.put(lambda: self._end(number, outcome, best, reason, now))

    def close(
        self,
        status: str,
        metrics: Mapping[str, float],
        note: str,
        pictured: Sequence[Standing] = (),
        written: Callable[[], None] = lambda: None,
    ) -> Behind:
        """Finish the study's record; returns what MLflow does not have, which `mer.study sync` writes.

        Args:
            pictured: trials whose confusion matrix is drawn now, unless it was before.
            written: called when all files of trials are; makes files of the study's own run.
        """
        closing = Closing(status, clock_ms(), dict(metrics), note)
        for number in sorted(self._begun):
            self._queue.put(lambda number=number: self._interrupt(number))  # type: ignore[misc]
        self._queue.put(self._try_again)
        for trial in pictured:
            self._queue.put(lambda trial=trial: self._draw(trial))  # type: ignore[misc]
        self._queue.put(lambda: self._outbox.close(closing))
        self._queue.put(None)
        self._thread.join()
        written()
        return self._writer.close(closing, whole=not self._tableless)

    @property
    def experiment_id(self) -> str:
        """The experiment in MLflow that has the study's name. Raises: RuntimeError before it was opened."""
        return self._writer.experiment_id

    # -- the tracker's thread --------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            self._try(job)

    def _try(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as fault:  # the record must never take the study down; the summary says what failed
            self.errors.append(f"{type(fault).__name__}: {fault}")

    def _open_record(self, alive: Callable[[], None], answered: Callable[[], None]) -> StudyRecord:
        """Open the store; called in the writer's thread."""
        looking = Looking(self._outbox.experiment(self.store.shown), everywhere=self._goes_on, answered=answered)
        runs = self._open_runs(self.store, self.spec.study, self.identity.generation, looking)
        self._outbox.note_experiment(self.store.shown, runs.experiment_id)
        note = f"{self.spec.description}\n\nRunning, started by `{self.environment['command']}`."
        return StudyRecord(runs, self.identity, note, str(self.environment["git_sha"]), alive, self._about)

    def _make_missing_files(self, trials: list[FrozenTrial]) -> None:
        """Make the files of trials whose driver was killed before it had, or whom the disk refused them."""
        for trial in trials:
            number = trial.number
            if trial.state in ENDED:
                facts = facts_of(trial)
                self._times[number] = facts.start_ms, facts.end_ms
                if not has_files(self.folder, number):
                    self._conclude(facts, lambda trial=trial: self._rebuilt(trial))  # type: ignore[misc]
            elif is_half_begun(self.folder, number):
                self._try(lambda trial=trial: self._hand_over(self.files.rebuild(trial)))  # type: ignore[misc]

    def _rebuilt(self, trial: FrozenTrial) -> TrialFacts:
        self._outbox.foretell(str(trial.number))
        return self.files.rebuild(trial)

    def _conclude(self, facts: TrialFacts, make: Callable[[], TrialFacts]) -> None:
        """Make the files of a trial that has ended."""
        try:
            self._settle(make())
        except Exception as fault:
            self._close_without_tables(facts, fault)

    def _close_without_tables(self, facts: TrialFacts, fault: Exception) -> None:
        """Close the run of a trial whose tables cannot be made, with what there is. That of the study gets no proof."""
        self.errors.append(f"{type(fault).__name__}: {fault}")
        self._tableless.add(facts.number)
        try:
            known = facts if facts.config else filled(self.folder, facts)
            self._hand_over(replace(known, files=artifact_files(trial_folder(self.folder, facts.number))))
        except (OSError, ValueError, MerError):
            self._writer.put(facts, None)

    def _begin(self, number: int, params: dict[str, Any], config: TrialConfig | None, now_ms: int) -> None:
        resolved, environment = self.files.begun_with(number, params, config)
        rows: list[Row] = []
        facts = TrialFacts(number, params, resolved, str(environment.get("git_sha", "")), rows, now_ms)
        self._live[number] = live = _Live(facts, content_of(self.identity, facts), environment, rows)
        with contextlib.suppress(OSError):  # written with its ending, then
            self.files.write_beginning(number, resolved, environment)
        self._writer.put(facts, live.content)

    def _add_rows(self, number: int, rows: list[Row]) -> None:
        live = self._live[number]
        new = [row for row in rows if row["epoch"] not in live.epochs]
        live.epochs.update(row["epoch"] for row in new)
        live.rows.extend(new)
        self._writer.put(live.facts, live.content)

    def _end(self, number: int, outcome: Outcome, best: Row | None, reason: str, now_ms: int) -> None:
        live = self._live.pop(number)
        facts = replace(live.facts, outcome=outcome, best=best, reason=reason, end_ms=now_ms)
        try:
            self._settle(self.files.write_ending(facts, live.environment))
        except OSError:
            self._unwritten.append((facts, live.environment))  # tried once more at the end of the study
        except Exception as fault:
            self._close_without_tables(facts, fault)

    def _settle(self, facts: TrialFacts) -> None:
        """Do what follows when all files of an ended trial are written."""
        self._hand_over(facts)
        self._times[facts.number] = facts.start_ms, facts.end_ms
        self.after_trial(facts.number, cast(Outcome, facts.outcome), facts.best)

    def _hand_over(self, facts: TrialFacts) -> None:
        """Note what MLflow must have of a trial that is over, then have it brought there."""
        content = content_of(self.identity, facts)
        self._outbox.must(content.trial, content.digest)
        self._writer.put(facts, content)

    def _interrupt(self, number: int) -> None:
        """Close the run of a trial that goes on another day; its worker may have saved more than it told."""
        live = self._live.pop(number)
        with contextlib.suppress(OSError):  # the next driver writes it
            self.files.write_beginning(number, live.facts.config, live.environment)
        told = replace(live.facts, outcome="interrupted", end_ms=clock_ms())
        saved = filled(self.folder, told)
        self._hand_over(saved if len(saved.rows) >= len(told.rows) else replace(saved, rows=told.rows))

    def _try_again(self) -> None:
        for facts, environment in self._unwritten:
            self._conclude(facts, lambda facts=facts, by=environment: self.files.write_ending(facts, by))  # type: ignore[misc]

    def _draw(self, trial: Standing) -> None:
        """Draw the picture of a trial that finished, unless it was, and add it to its run."""
        if trial.number not in self._times or self.files.is_drawn(trial.number):
            return
        self._outbox.foretell(str(trial.number))
        if self.files.draw(trial):
            start_ms, end_ms = self._times[trial.number]
            bare = TrialFacts(
                trial.number, trial.params, {}, "", (), start_ms, "finished", dict(trial.best), trial.reason, end_ms
            )
            self._hand_over(filled(self.folder, bare))
