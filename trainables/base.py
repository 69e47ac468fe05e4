"""A worker: it hosts one trial number after another, trains it and reports. It writes files and talks to no database.

A killed worker or driver loses at most the epochs since the last report: whoever gets the number next finds
`last.safetensors` in the trial's folder and repeats its history from there.
"""

from __future__ import annotations

import contextlib
import errno
import time
import traceback
from typing import Any

import torch
from ray import tune

from mer.checkpoints import load_tensors, save_tensors
from mer.errors import MerError, TrialFailed
from mer.training import TrainingRun
from trainables.shared_features import SharedFeatures
from trainables.trial_files import LAST, TRACEBACK, best_file
from trainables.wire import MemberTask, Outcome, Report, Slot

_DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # no fault of the trial: it stays resumable


class MerTrainable(tune.Trainable):
    """One Ray trial, which is a slot (see `trainables.wire`). Subclasses say how the run of a member is built."""

    features: SharedFeatures
    run: TrainingRun | None

    def build(self, task: MemberTask, device: str) -> TrainingRun:
        """Build the run of one trial from its task and the shared features; nothing is trained yet."""
        raise NotImplementedError

    # -- Ray's side --------------------------------------------------------------------------------------------

    def setup(self, config: dict[str, Any], features: SharedFeatures | None = None) -> None:
        assert features is not None
        self.features = features
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next slot in the same process. Only the features stay: numbers equal those of a fresh process."""
        self._take(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train until the report interval is over or a verdict is due, and report every member of the slot."""
        return {"reports": [self._step_member().wire()]}

    def save_checkpoint(self, checkpoint_dir: str) -> None:  # ours are in the trial folder; Ray keeps none
        return None

    def load_checkpoint(self, checkpoint: Any) -> None:
        return None

    # -- ours --------------------------------------------------------------------------------------------------

    def _take(self, wire: dict[str, Any]) -> None:
        """Note the next trial. Reads and builds nothing yet: an exception here would count as a lost worker."""
        self.slot = Slot.read(wire)
        (self.task,) = self.slot.members
        self.run = None
        self.bests_saved: dict[str, float] = {}  # by name: epoch

    def _step_member(self) -> Report:
        """Train one member on; every failure becomes the outcome of its report."""
        try:
            return self._advance()
        except TrialFailed as failure:
            return self._failure("nonfinite", str(failure))
        except MerError as failure:  # in the user's words already; one line, for tables
            return self._failure("error", "; ".join(map(str.strip, failure.message.splitlines())))
        except OSError as failure:
            if failure.errno not in _DISK_FAULTS:
                return self._failure("error", f"{type(failure).__name__}: {failure}")
            return self._failure("blocked", f"{failure.filename}: {failure.strerror}")
        except Exception as failure:
            with contextlib.suppress(OSError):  # on a full disk the report below says what matters
                self.task.folder.mkdir(parents=True, exist_ok=True)
                (self.task.folder / TRACEBACK).write_text(traceback.format_exc(), encoding="utf-8")
            return self._failure("error", f"{type(failure).__name__}: {failure}")

    def _advance(self) -> Report:
        if self.run is None:
            self.run = self._begin()
            if self.run.history:  # begun before: repeat what was said, in case nobody heard it, and wait for a verdict
                return self._report(self.run, since=0)
        run, told = self.run, len(self.run.history)
        deadline = time.perf_counter() + self.slot.report_interval_s
        while not run.finished:
            try:
                run.train_epoch()
            except TrialFailed:
                self._save_best(run)
                raise
            if run.epoch in self.task.decision_epochs or time.perf_counter() > deadline:
                break
        self._save_best(run)
        save_tensors(self.task.folder / LAST, *run.state())
        return self._report(run, since=told)

    def _report(self, run: TrainingRun, since: int) -> Report:
        return Report(self.task.number, run.history[since:], "finished" if run.finished else "running")

    def _begin(self) -> TrainingRun:
        torch.set_num_threads(self.slot.threads)
        self.task.folder.mkdir(parents=True, exist_ok=True)
        run = self.build(self.task, self.slot.device)
        if (self.task.folder / LAST).exists():
            run.load_state(*load_tensors(self.task.folder / LAST))
            self._save_best(run)  # the file may be ahead of `last`, which alone is believed
        return run

    def _save_best(self, run: TrainingRun) -> None:
        """Save the best weights, before `last` is written and before each report: a reported best is on disk."""
        for name, best in run.member.bests.items():
            if best.row["epoch"] == self.bests_saved.get(name):
                continue
            card = {
                "number": self.task.number,
                "epoch": best.row["epoch"],
                "row": best.row,
                "config": best.config.model_dump(mode="json"),
                "class_names": list(run.data.class_names),
            }
            save_tensors(self.task.folder / best_file(name), best.tensors, card)
            self.bests_saved[name] = best.row["epoch"]

    def _failure(self, outcome: Outcome, reason: str) -> Report:
        rows = self.run.history if self.run is not None else []
        return Report(self.task.number, list(rows), outcome, reason)
