"""One trial in a worker: its run, its files, and what is reported of it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from ray.exceptions import RayError

from mer.checkpoints.proven import damaged, trusted
from mer.errors import MerError, TrialFailed
from mer.io_faults import is_of_the_machine, patiently, refusal
from mer.training.memory import free_words, is_out_of_memory
from mer.training.packed import Run, shape_of
from trainables.saving import CheckpointFile, Saver
from trainables.trial_files import LAST, TRACEBACK, best_file
from trainables.wire import MemberTask, Outcome, Report


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
        self.run: Run | None = None
        self.is_packable = False  # known once it is built
        self.told = 0
        self.trains_apart = False
        self._note = ""  # for the user, with the next report
        self._bests_saved: dict[str, float] = {}  # by name: epoch

    @property
    def is_due(self) -> bool:
        """True when its run waits for a verdict, or has trained its last epoch."""
        return self.run is not None and (self.run.finished or self.run.epoch in self.task.decision_epochs)

    @property
    def has_news(self) -> bool:
        """True when epochs were trained that were not reported."""
        return self.run is not None and len(self.run.history) > self.told

    def begin(self, build: Callable[[], Run]) -> None:
        """Build the run, from its last checkpoint where there is one. Raises: whatever a trial may raise."""
        self.run = patiently(lambda: self._begun(build))
        self.is_packable = shape_of(self.run.config).is_packable

    def _begun(self, build: Callable[[], Run]) -> Run:
        self.task.folder.mkdir(parents=True, exist_ok=True)
        run, mistrusted = build(), ""
        self._bests_saved = {}
        for path, state in trusted(self.task.folder / LAST):
            try:
                if isinstance(state, MerError):
                    raise state
                run.load_state(*state)
            except Exception as fault:  # of another trial or version, or damaged: a trial never fails by it
                if is_of_the_machine(fault) or is_out_of_memory(fault):
                    raise
                mistrusted = mistrusted or _what_is_wrong(path, fault)
                path.replace(damaged(self.task.folder / LAST))
                run = build()  # the other one may be half loaded
                continue
            if path != self.task.folder / LAST:  # its writer died before the next one was in place
                path.replace(self.task.folder / LAST)
            self._write(self._new_bests(run))  # the file may be ahead of the state, which alone is believed
            break
        if mistrusted:
            whence = f"goes on from epoch {run.epoch}" if run.epoch else "starts again"
            self._note = f"its checkpoint cannot be trusted, so it {whence} ({mistrusted})"
        return run

    def release(self) -> None:
        """Forget the run, to free its memory or to go back to the last checkpoint."""
        self.run = None

    def begin_to_save(self) -> None:
        """Begin to write the best weights, where they are new, and after them the state."""
        assert self.run is not None
        last = CheckpointFile(self.task.folder / LAST, *self.run.state(), is_state=True)
        self.saver.save(self.task.number, [*self._new_bests(self.run), last])

    def report(self) -> Report:
        """Report the epochs since the last report, once they are on disk. Raises: OSError when the disk refused."""
        assert self.run is not None
        self.saver.wait(self.task.number)
        rows = self.run.history[self.told :]
        self.told = len(self.run.history)
        return Report(self.task.number, rows, "finished" if self.run.finished else "running", note=self._said_once())

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
            if is_of_the_machine(fault):
                return self._ended("blocked", refusal(fault))
            return self._ended("error", f"{type(fault).__name__}: {fault}")
        if isinstance(fault, RayError):  # what all workers share could not be had here
            return self._ended("lost", f"{type(fault).__name__}: {_first_line(fault)}")
        if is_out_of_memory(fault):
            way_out = "set optim.batch_size or head.hidden lower, or give a trial more memory"
            return self._ended("error", f"out of memory, even with no other trial beside it{free_words()}: {way_out}")
        try:
            patiently(lambda: self._write_traceback(fault))
        except OSError as refused:  # whoever is handed this number next fails with it, and can say where
            if is_of_the_machine(refused):
                return self._ended("blocked", refusal(refused))
        return self._ended("error", f"{type(fault).__name__}: {fault}")

    def _write_traceback(self, fault: Exception) -> None:
        self.task.folder.mkdir(parents=True, exist_ok=True)
        text = "".join(traceback.format_exception(fault))
        (self.task.folder / TRACEBACK).write_text(text, encoding="utf-8")

    def _ended(self, outcome: Outcome, reason: str) -> Report:
        rows = self.run.history if self.run is not None else []
        return Report(self.task.number, list(rows), outcome, reason, self._said_once())

    def _said_once(self) -> str:
        note, self._note = self._note, ""
        return note

    def _write(self, files: list[CheckpointFile]) -> None:
        self.saver.save(self.task.number, files)
        self.saver.wait(self.task.number)

    def _new_bests(self, run: Run) -> list[CheckpointFile]:
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


def _what_is_wrong(path: Path, fault: Exception) -> str:
    found = fault.found if isinstance(fault, MerError) else f"cannot be loaded ({type(fault).__name__}: {fault})"
    return f"{path.name} {found.splitlines()[0]}"


def _first_line(fault: Exception) -> str:
    return next(iter(str(fault).splitlines()), "")
