"""Run a protocol: one cell after another, each in a process of its own, so that one that dies stops no other."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import Timeout
from rich.console import Console

from mer.errors import MerError
from mer.locks import acquire
from mer.study.bench.cells import Cell
from mer.study.bench.process import run_process, why_failed
from mer.study.bench.protocol import Protocol, cell_name
from mer.study.bench.state import Done, Place, State
from mer.study.evaluate.report_on_test import HEADINGS
from mer.study.show.words import show

_PATIENCE_S = 0.3


@dataclass
class Standing:
    """How a cell stands.

    Args:
        seconds: spent on it, over all runs of the command that could write it down.
        reason: why it failed, "" otherwise.
    """

    cell: Cell
    state: State
    seconds: float = 0.0
    reason: str = ""


@dataclass
class Bench:
    """A protocol that is run.

    Args:
        cells: those that are to be run.
        studies: folder of all studies.
        words: of the command that runs a cell by itself, without the cell's name; the first is the module.
        command: what the user typed.
        write_pages: makes tables and page of the protocol's folder.
    """

    protocol: Protocol
    cells: Sequence[Cell]
    place: Place
    studies: Path
    words: Sequence[str]
    command: str
    write_pages: Callable[[Path], object]

    def run(self, console: Console) -> list[Standing]:
        """Run every cell that is not done yet. Returns: how all of them stand.

        Raises: KeyboardInterrupt after an orderly stop of the cell that ran.
        """
        with self._alone():
            standings = [self._standing(cell) for cell in self.cells]
            self._write(standings)
            self.write_pages(self.place.folder)
            for number, standing in enumerate(standings, 1):
                head = f"{number}/{len(standings)} {standing.cell.name}:"
                if (done := self.place.done(standing.cell)) is not None:
                    console.print(f"{head} {in_words(done)}, done before", soft_wrap=True)
                    continue
                console.print(f"{head} runs; what it prints is in {self.place.log(standing.cell)}", soft_wrap=True)
                told = self._run(standing, standings)
                self.write_pages(self.place.folder)  # after each cell: there is a table whatever happens next
                console.print(f"{head} {told} ({standing.seconds:.0f} s)", soft_wrap=True)
        return standings

    def _standing(self, cell: Cell) -> Standing:
        spent = next((one.get("seconds") for one in self.place.cells_so_far() if one["cell"] == cell.name), 0.0)
        seconds = float(spent) if isinstance(spent, int | float) else 0.0
        return Standing(cell, "done" if self.place.done(cell) else "waiting", seconds)

    def _run(self, standing: Standing, standings: Sequence[Standing]) -> str:
        """Run a cell and write down how it stands then. Returns: the same in words."""
        log, started, before = self.place.log(standing.cell), time.monotonic(), standing.seconds
        try:
            code = run_process([*self.words, "--cell", standing.cell.name], log)
            done = self.place.done(standing.cell) if code == 0 else None
            standing.state = "done" if done else "failed"
            standing.reason = "" if done else why_failed(log, code)
            return in_words(done) if done else f"failed: {standing.reason}"
        finally:  # also after an interruption
            standing.seconds = before + time.monotonic() - started
            self._write(standings)

    def _write(self, standings: Sequence[Standing]) -> None:
        """Write bench.json: the cells of this command, and those of an earlier one with another --only."""
        told = {
            "protocol": self.protocol.protocol,
            "description": self.protocol.description,
            "trials": self.protocol.search.trials,
            "epochs": self.protocol.search.epochs,
            "rerank": self.protocol.rerank.model_dump(mode="json") if self.protocol.rerank else None,
            "seeds": list(self.protocol.evaluate.seeds),
            "command": self.command,
        }
        so_far = {one["cell"]: one for one in self.place.cells_so_far()}
        so_far |= {one.cell.name: self._told(one) for one in standings}
        names = map(cell_name, self.protocol.combinations())
        self.place.write_bench(told, [so_far[name] for name in names if name in so_far])

    def _told(self, one: Standing) -> dict[str, Any]:
        return {
            "cell": one.cell.name,
            "corpus": one.cell.corpus,
            "features": one.cell.features,
            "method": one.cell.method,
            "study": self.place.from_here(self.studies / one.cell.spec.study),
            "state": one.state,
            "seconds": round(one.seconds, 1),
            "reason": one.reason,
        }

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuse to run a protocol that another process runs. Raises: MerError."""
        self.place.folder.mkdir(parents=True, exist_ok=True)
        try:
            held = acquire(self.place.lock, timeout_s=_PATIENCE_S)
        except Timeout:
            then = "wait for it, stop it, or give this one another folder: --out DIR"
            raise MerError(self.place.folder, "another process runs this protocol", then=then) from None
        with held:
            yield


def in_words(done: Done) -> str:
    """Write what a cell has given: its mean on test."""
    spread = f" ± {show(done.metric, done.sd)}" if done.sd is not None else ""
    name = next((of_task[done.metric] for of_task in HEADINGS.values() if done.metric in of_task), done.metric)
    return f"{name} {show(done.metric, done.mean)}{spread} on test, {done.n} seeds"
