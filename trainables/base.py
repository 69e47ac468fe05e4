"""A Ray trial as a slot that hosts one trial number after another: set up, step, report. It writes two files and
talks to no database.

A killed worker or driver loses at most the epochs since the last report: whoever gets the number next finds
`last.safetensors` in the trial's folder and repeats its history from there.
"""

from __future__ import annotations

import contextlib
import errno
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from ray import tune

from mer.checkpoints import load_tensors, save_tensors
from mer.config import TrialConfig
from mer.errors import MerError, TrialFailed
from mer.training import TrainingRun
from trainables.shared_features import SharedFeatures
from trainables.trial_files import LAST, TRACEBACK, best_file

_DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # no fault of the trial: it stays resumable


class MerTrainable(tune.Trainable):
    """Subclasses say how a TrainingRun is built from a TrialConfig and shared features."""

    features: SharedFeatures
    run: TrainingRun | None

    def build(self, config: TrialConfig, slot: dict[str, Any]) -> TrainingRun:
        raise NotImplementedError

    # -- Ray's side --------------------------------------------------------------------------------------------

    def setup(self, config: dict[str, Any], features: SharedFeatures | None = None) -> None:
        assert features is not None
        self.features = features
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """A reused actor starts from nothing but the features: same config, same numbers as in a fresh one."""
        self._take(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train until the report interval is over or a verdict is due; every failure becomes an outcome."""
        try:
            return {"report": self._advance()}
        except TrialFailed as failure:
            return {"report": self._failure("nonfinite", str(failure))}
        except MerError as failure:  # in the user's words already; one line, for tables
            return {"report": self._failure("error", "; ".join(map(str.strip, failure.message.splitlines())))}
        except OSError as failure:
            if failure.errno not in _DISK_FAULTS:
                return {"report": self._failure("error", f"{type(failure).__name__}: {failure}")}
            return {"report": self._failure("blocked", f"{failure.filename}: {failure.strerror}")}
        except Exception as failure:
            with contextlib.suppress(OSError):  # on a full disk the report below says what matters
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / TRACEBACK).write_text(traceback.format_exc(), encoding="utf-8")
            return {"report": self._failure("error", f"{type(failure).__name__}: {failure}")}

    def save_checkpoint(self, checkpoint_dir: str) -> None:  # ours are in the trial folder; Ray keeps none
        return None

    def load_checkpoint(self, checkpoint: Any) -> None:
        return None

    # -- ours --------------------------------------------------------------------------------------------------

    def _take(self, slot: dict[str, Any]) -> None:
        """Note the next trial. Reads and builds nothing yet: an exception here would be retried by Ray."""
        self.slot = slot
        self.number = int(slot["number"])
        self.folder = Path(slot["folder"])
        self.run = None
        self.bests_saved: dict[str, float] = {}  # by name: epoch

    def _advance(self) -> dict[str, Any]:
        if self.run is None:
            self.run = self._begin()
            if self.run.history:  # begun before: repeat what was said, in case nobody heard it, and wait for a verdict
                return self._report(self.run, since=0)
        run, told = self.run, len(self.run.history)
        deadline = time.perf_counter() + self.slot["report_interval_s"]
        while not run.finished:
            try:
                run.train_epoch()
            except TrialFailed:
                self._save_best(run)
                raise
            if run.epoch in self.slot["decision_epochs"] or time.perf_counter() > deadline:
                break
        self._save_best(run)
        save_tensors(self.folder / LAST, *run.state())
        return self._report(run, since=told)

    def _report(self, run: TrainingRun, since: int) -> dict[str, Any]:
        outcome = "finished" if run.finished else "running"
        return {"number": self.number, "rows": run.history[since:], "outcome": outcome, "reason": ""}

    def _begin(self) -> TrainingRun:
        torch.set_num_threads(self.slot["threads"])
        self.folder.mkdir(parents=True, exist_ok=True)
        run = self.build(TrialConfig.model_validate(self.slot["config"]), self.slot)
        if (self.folder / LAST).exists():
            run.load_state(*load_tensors(self.folder / LAST))
            self._save_best(run)  # the file may be ahead of `last`, which alone is believed
        return run

    def _save_best(self, run: TrainingRun) -> None:
        """Before `last` and every report: nobody hears of a best that is not there."""
        for name, best in run.member.bests.items():
            if best.row["epoch"] == self.bests_saved.get(name):
                continue
            card = {
                "number": self.number,
                "epoch": best.row["epoch"],
                "row": best.row,
                "config": best.config.model_dump(mode="json"),
                "class_names": list(run.data.class_names),
            }
            save_tensors(self.folder / best_file(name), best.tensors, card)
            self.bests_saved[name] = best.row["epoch"]

    def _failure(self, outcome: str, reason: str) -> dict[str, Any]:
        rows = self.run.history if self.run is not None else []
        return {"number": self.number, "rows": list(rows), "outcome": outcome, "reason": reason}
