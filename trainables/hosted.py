"""One trial in a worker: its run, its files, and what is reported of it."""

from __future__ import annotations

import contextlib
import errno
import traceback
from collections.abc import Callable

from mer.checkpoints import load_tensors
from mer.errors import MerError, TrialFailed
from mer.training import TrainingRun
from mer.training.memory import free_words, is_out_of_memory
from mer.training.packed import shape_of
from trainables.saving import CheckpointFile, Saver
from trainables.trial_files import LAST, TRACEBACK, best_file
from trainables.wire import MemberTask, Outcome, Report

_DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # no fault of the trial: it stays resumable


class Hosted:
    """A member of a worker's pack. It is built when its first turn comes, and again after `release`.

    Args: saver: writes its files beside those of other members.
    Attributes:
        run: None until it is built.
        told: epochs that were reported.
        trains_apart: it gets a program of its own, after a fault of a program that may be another member's.
    """

    def __init__(self, task: MemberTask, saver: Saver) -> None:
        self.task, self.saver = task, saver
        self.run: TrainingRun | None = None
        self.is_packable = False  # known once it is built
        self.told = 0
        self.trains_apart = False
        self._bests_saved: dict[str, float] = {}  # by name: epoch

    @property
    def is_due(self) -> bool:
        """True when its run waits for a verdict, or has trained its last epoch."""
        return self.run is not None and (self.run.finished or self.run.epoch in self.task.decision_epochs)

    @property
    def has_news(self) -> bool:
        """True when epochs were trained that were not reported."""
        return self.run is not None and len(self.run.history) > self.told

    def begin(self, build: Callable[[], TrainingRun]) -> None:
        """Build the run, from its last checkpoint where there is one. Raises: whatever a trial may raise."""
        self.task.folder.mkdir(parents=True, exist_ok=True)
        run = build()
        self._bests_saved = {}
        if (self.task.folder / LAST).exists():
            run.load_state(*load_tensors(self.task.folder / LAST))
            self._write(self._new_bests(run))  # the file may be ahead of `last`, which alone is believed
        self.run, self.is_packable = run, shape_of(run.config).is_packable

    def release(self) -> None:
        """Forget the run, to free its memory or to go back to the last checkpoint."""
        self.run = None

    def begin_to_save(self) -> None:
        """Begin to write the best weights, where they are new, and after them the state."""
        assert self.run is not None
        last = CheckpointFile(self.task.folder / LAST, *self.run.state())
        self.saver.save(self.task.number, [*self._new_bests(self.run), last])

    def report(self) -> Report:
        """Report the epochs since the last report, once they are on disk. Raises: OSError when the disk refused."""
        assert self.run is not None
        self.saver.wait(self.task.number)
        rows = self.run.history[self.told :]
        self.told = len(self.run.history)
        return Report(self.task.number, rows, "finished" if self.run.finished else "running")

    def failure(self, fault: Exception) -> Report:
        """Turn what was raised into the report that ends the trial."""
        if isinstance(fault, TrialFailed):
            try:
                if self.run is not None:
                    self._write(self._new_bests(self.run))
            except OSError as further:
                return self.failure(further)
            return self._ended("nonfinite", str(fault))
        if isinstance(fault, MerError):  # in the user's words already; one line, for tables
            return self._ended("error", "; ".join(map(str.strip, fault.message.splitlines())))
        if isinstance(fault, OSError):
            if fault.errno in _DISK_FAULTS:
                return self._ended("blocked", f"{fault.filename}: {fault.strerror}")
            return self._ended("error", f"{type(fault).__name__}: {fault}")
        if is_out_of_memory(fault):
            way_out = "set optim.batch_size or head.hidden lower, or give a trial more memory"
            return self._ended("error", f"out of memory, even with no other trial beside it{free_words()}: {way_out}")
        with contextlib.suppress(OSError):  # on a full disk the report below says what matters
            self.task.folder.mkdir(parents=True, exist_ok=True)
            text = "".join(traceback.format_exception(fault))
            (self.task.folder / TRACEBACK).write_text(text, encoding="utf-8")
        return self._ended("error", f"{type(fault).__name__}: {fault}")

    def _ended(self, outcome: Outcome, reason: str) -> Report:
        rows = self.run.history if self.run is not None else []
        return Report(self.task.number, list(rows), outcome, reason)

    def _write(self, files: list[CheckpointFile]) -> None:
        self.saver.save(self.task.number, files)
        self.saver.wait(self.task.number)

    def _new_bests(self, run: TrainingRun) -> list[CheckpointFile]:
        """Return the files of best weights that have changed; they are written before `last`."""
        files = []
        for name, best in run.member.bests.items():
            if best.row["epoch"] == self._bests_saved.get(name):
                continue
            card = {
                "number": self.task.number,
                "epoch": best.row["epoch"],
                "row": best.row,
                "config": best.config.model_dump(mode="json"),
                "class_names": list(run.data.class_names),
            }
            files.append(CheckpointFile(self.task.folder / best_file(name), best.tensors, card))
            self._bests_saved[name] = best.row["epoch"]
        return files
