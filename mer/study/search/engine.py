"""Make the decisions of a study: which trial runs next, what a report means, who is cut. No Ray in here.

For every event the order of durable writes is: checkpoint (by the worker, before it reports), Optuna, tracker.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from optuna.trial import FrozenTrial

from mer.config import TrialConfig
from mer.study.search.early_stopping import Policy
from mer.study.search.epoch_count import EpochCount
from mer.study.search.halt import Halt
from mer.study.search.ledger import Assignment, Ledger
from mer.study.search.live_trial import Ending, Listener, LiveTrial
from mer.study.search.stored_trial import ENDED, outcome_of, params_of
from mer.study.space.keys import reason
from mer.study.space.spec import StudySpec
from mer.training import Row
from mer.training.packed.shape import shape_of
from trainables.wire import Outcome, Report

_LOSSES = 3  # a trial that lost its worker so many times fails: it may be what kills them


@dataclass
class Tally:
    """Count, sum and largest of some durations."""

    count: int = 0
    total_s: float = 0.0
    most_s: float = 0.0

    def add(self, seconds: float) -> None:
        self.count, self.total_s, self.most_s = self.count + 1, self.total_s + seconds, max(self.most_s, seconds)


@dataclass
class StudyEngine:
    """Connects ledger, stopping policy and listeners.

    Args:
        spec: the study.
        ledger: the search state.
        policy: early stopping, filled from the ledger here.
        listeners: told about every event.
    """

    spec: StudySpec
    ledger: Ledger
    policy: Policy
    listeners: list[Listener] = field(default_factory=list)
    live: dict[int, LiveTrial] = field(default_factory=dict)
    seconds_in_reports: Tally = field(default_factory=Tally)
    bereft: list[int] = field(default_factory=list)  # trials that lost their worker and wait for another
    drained: bool = False  # the ledger has nothing left to hand out
    halt: Halt = field(default_factory=Halt)  # why no further trial is handed out

    def __post_init__(self) -> None:
        trials = self.ledger.trials()
        self._epochs = EpochCount(trials)
        self._most, self._ended = self.ledger.most(), 0  # counted: a report must not read the study
        for trial in trials:
            self._ended += trial.state in ENDED
            for epoch, value in sorted(trial.intermediate_values.items()):
                self.policy.remember(trial.number, epoch, self._score(value))
        self._remember([trial for trial in trials if trial.state in ENDED])

    def _remember(self, ended: list[FrozenTrial]) -> None:
        """Let the stopping rule know whether all trials of earlier drivers failed."""
        if not all(outcome_of(trial) == "error" for trial in ended):
            self.halt.remember("finished", "")
            return
        for trial in ended:
            with suppress(ValueError):  # no worker had it: its draw was refused
                shape = shape_of(self.spec.trial_config(params_of(trial))).key
                self.halt.tried(shape)
                self.halt.remember("error", shape)

    def next_trial(self) -> tuple[Assignment, TrialConfig] | None:
        """Hand out a trial: one that lost its worker, else the ledger's next; None when there is none now."""
        if self.bereft and not self.stopped:
            return self.live[self.bereft.pop(0)].handed_out
        while not self.stopped and not self.drained:
            try:
                assignment = self.ledger.next_assignment()
            except OSError as fault:
                self.block(fault)
                break
            self.drained = not self.ledger.work_left()  # known at once: an idle worker need not ask to find it out
            if assignment is None:
                break
            try:
                config = self.spec.trial_config(assignment.params)
            except ValueError as fault:  # a combination that the ranges allow but the methods do not
                self._start(assignment, None)
                self._end(assignment.number, "error", reason(fault))
                continue
            self._start(assignment, config)
            return assignment, config
        return None

    @property
    def unfinished(self) -> int:
        """Trials that run, wait or are still to be drawn."""
        return max(self._most - self._ended, len(self.live))

    @property
    def epochs_done(self) -> int:
        """Epochs of all trials, under earlier drivers too."""
        return self._epochs.total(self.live)

    @property
    def over(self) -> bool:
        """True when no trial will be handed out any more, not even one whose worker is lost later."""
        return self.stopped or (self.drained and not self.live)

    def _start(self, assignment: Assignment, config: TrialConfig | None) -> None:
        number = assignment.number
        self.live[number] = LiveTrial(
            (assignment, config) if config else None,
            losses=self.ledger.losses(number),
            pack_limit=self.ledger.pack_limit(number),
        )
        if config is not None:
            self.halt.tried(shape_of(config).key)
        for listener in self.listeners:
            listener.trial_started(assignment.number, assignment.params, config)

    def record(self, report: Report) -> bool:
        """Take in a report; True when its trial is over: it ended, or is cut now."""
        started = time.perf_counter()
        over = report.number not in self.live or self._record(report, self.live[report.number])
        self.seconds_in_reports.add(time.perf_counter() - started)
        return over

    def placed(self, number: int) -> None:
        """Note that a worker has the trial now; until then it waited for a place."""
        for listener in self.listeners:
            listener.trial_placed(number, has_worker=True)

    def losses(self, number: int) -> int:
        """Return how many workers died with the trial and nobody else."""
        return self.live[number].losses

    def pack_limit(self, number: int) -> int | None:
        """Return how many trials may share a worker with this one; None: any number."""
        return self.live[number].pack_limit

    def config_of(self, number: int) -> TrialConfig:
        """Return the configuration of a trial that is not over."""
        return self.live[number].config

    def seconds_left(self, number: int, unheard: float) -> float:
        """Estimate the training time that a trial has left; `unheard` before its first epoch."""
        return self.live[number].seconds_left(unheard) if number in self.live else 0.0

    def lost(self, number: int, why: str = "", *, shared_by: int = 1) -> None:
        """Hand the trial of a dead worker out again, under its number; the third loss fails it.

        Its next worker goes on from the trial's last checkpoint. Listeners hear only that it waits again. The death of
        a pack may be the doing of any member, so it counts for none: they go on in packs of half the size, at last
        alone, and only deaths with a single trial count. Counts and sizes are on disk: they survive the driver. While
        the study is stopped workers die with it, and nothing counts.

        Args:
            why: "" where its worker process has died.
            shared_by: trials that the worker had.
        """
        if (live := self.live.get(number)) is None or number in self.bereft:
            return
        if self.stopped:
            self.released(number)
            return
        if not why:
            live.pack_limit = max(1, min(shared_by, live.pack_limit or shared_by) // 2)
        live.losses += shared_by == 1
        if live.losses >= _LOSSES:
            words = f"{_LOSSES} attempts were lost, the last one because {why}" if why else ""
            self._end(number, "error", words or f"its worker process was lost {_LOSSES} times (out of memory?)")
            return
        try:
            self.ledger.note_losses(number, live.losses, live.pack_limit)
        except OSError as fault:
            self.block(fault)
            return
        self.released(number)

    def released(self, number: int) -> None:
        """Hand a trial out again whose worker has given it back; that counts as no loss."""
        if number in self.live and number not in self.bereft:
            self.bereft.append(number)
            for listener in self.listeners:
                listener.trial_placed(number, has_worker=False)

    def _record(self, report: Report, live: LiveTrial) -> bool:
        if report.outcome == "blocked":
            self.block(report.reason)
            return True
        try:
            with self.ledger.together():  # on disk before a listener hears of it
                heard, ending = self._judge(report, live)
                if ending is not None:
                    ending = self._tell(report.number, ending)
        except OSError as fault:
            self.block(fault)
            return True
        self._announce(report.number, heard, live.best, ending)
        return ending is not None

    def block(self, reason: str | OSError, advice: str = "") -> None:
        """Stop the study, since the machine is at fault. What the journal holds is whole, and the study resumable."""
        self.halt.block(reason, advice)

    def _judge(self, report: Report, live: LiveTrial) -> tuple[list[Row], Ending | None]:
        """Take in the epochs that are new, as far as the trial goes on. Returns them, and how it ended."""
        fresh = [row for row in report.rows if row["epoch"] > live.epoch]
        heard: list[Row] = []
        for row in fresh:
            epoch = int(row["epoch"])
            live.epoch, live.last = epoch, row
            heard.append(row)
            if not all(math.isfinite(row[objective.metric]) for objective in self.spec.objective):
                return heard, Ending("nonfinite", f"a score of dev is not finite at epoch {epoch}")
            if live.best is None or self._score(row[self._metric]) > self._score(live.best[self._metric]):
                live.best = row
            value = live.best[self._metric]
            is_last = report.outcome != "running" and row is fresh[-1]
            if is_last:
                self.policy.remember(report.number, epoch, self._score(value))
            elif self.policy.cuts(report.number, epoch, self._score(value)):
                return heard, Ending(
                    "cut", f"stopped by {self.spec.scheduler.kind} after epoch {epoch}", (epoch, value)
                )
            self.ledger.report(report.number, epoch, value)
        return heard, None if report.outcome == "running" else Ending(report.outcome, report.reason)

    def _end(self, number: int, outcome: Outcome, reason: str) -> None:
        """End a trial that no report has ended."""
        best, ending = self.live[number].best, Ending(outcome, reason)
        try:
            ending = self._tell(number, ending)
        except OSError as fault:
            self.block(fault)
            return
        self._announce(number, [], best, ending)

    def _tell(self, number: int, ending: Ending) -> Ending:
        """Note durably how a trial ended, and give the study up when all have failed. Returns what was noted."""
        live = self.live.pop(number)
        outcome, reason = self.ledger.end(
            number, ending.outcome, best=live.best, reason=ending.reason, last=ending.last, epochs=live.epoch
        )
        ending = replace(ending, outcome=outcome, reason=reason)
        self._ended += 1
        self._epochs.ended(number, live)
        if live.handed_out is not None:  # a draw that was refused says nothing of the next
            self.halt.note(ending, shape_of(live.config).key)
        return ending

    def _announce(self, number: int, rows: list[Row], best: Row | None, ending: Ending | None) -> None:
        for listener in self.listeners:
            listener.trial_rows(number, rows)
            if ending is not None:
                listener.trial_ended(number, ending.outcome, best, ending.reason)

    @property
    def stopped(self) -> bool:
        """True when nothing more should be handed out."""
        return bool(self.halt)

    def raise_if_stopped(self, go_on: str, try_again: str, folder: Path) -> None:
        """Raise MerError when the study was stopped; arguments as `Halt.raise_if_stopped` has them."""
        self.halt.raise_if_stopped(self.spec.study, go_on, try_again, folder)

    @property
    def _metric(self) -> str:
        return self.spec.objective[0].metric

    def _score(self, value: float) -> float:
        """Turn a value of the first objective into a score of which more is better."""
        return value if self.spec.objective[0].mode == "max" else -value
