"""Show a study while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mer.config import TrialConfig
from mer.console import page
from mer.study.search.stored_trial import STATES, state_after
from mer.study.show.words import run_name, show
from mer.study.space.spec import StudySpec
from mer.training import Row
from trainables.wire import Outcome

_REDRAW_S = 0.25


@dataclass
class _Line:
    """One trial that has not ended: its last epoch, that epoch's score, its best one, and whether a worker has it."""

    name: str
    has_worker: bool = False
    epoch: int = 0
    score: float = float("nan")
    best: float = float("nan")


@dataclass
class Display:
    """Implements `live_trial.Listener`; `tick` redraws at most four times a second.

    Args:
        spec: the study.
        most: trials that the budget, or the grid, allows.
        ended: trials that earlier runs of the command ended, by outcome.
        best: best finished score so far and its trial, from earlier runs.
        first: the score of trial 0, from earlier runs.
    """

    spec: StudySpec
    most: int
    ended: Counter[str] = field(default_factory=Counter)
    best: tuple[float, int] | None = None
    first: float | None = None
    console: Console = field(default_factory=page)
    lines: dict[int, _Line] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._started = self._drawn = time.monotonic()
        self._ended_here = 0
        self._objective = self.spec.objective[0]
        self._live = (
            Live(console=self.console, auto_refresh=False, transient=True) if self.console.is_terminal else None
        )

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._live:
            self._live.stop()

    # -- live_trial.Listener --------------------------------------------------------------------------------------

    def trial_started(self, number: int, params: dict[str, Any], config: TrialConfig | None) -> None:
        self.lines[number] = _Line(run_name(number, params, config))

    def trial_placed(self, number: int, *, has_worker: bool) -> None:
        self.lines[number].has_worker = has_worker

    def trial_rows(self, number: int, rows: list[Row]) -> None:
        line = self.lines[number]
        for row in rows:
            value = row[self._objective.metric]
            line.epoch, line.score = int(row["epoch"]), value
            if not self._better(line.best, value):
                line.best = value

    def trial_ended(self, number: int, outcome: Outcome, best: Row | None, reason: str) -> None:
        line, state = self.lines.pop(number), STATES[state_after(outcome)]
        self.ended[state] += 1
        self._ended_here += 1
        score = best[self._objective.metric] if best else None
        if score is not None and number == 0:
            self.first = score
        if score is not None and outcome == "finished" and (self.best is None or not self._better(self.best[0], score)):
            self.best = (score, number)
        if self._live is None:
            words = f"{self._show(score)} at epoch {best['epoch']:.0f}" if best and score is not None else ""
            why = f" ({reason})" if reason and outcome != "finished" else ""
            self._print(f"{line.name}: {state} {words}{why}   {self._progress()}")

    def tick(self) -> None:
        """Redraw the table if the last drawing is old enough."""
        if self._live and time.monotonic() - self._drawn > _REDRAW_S:
            self._drawn = time.monotonic()
            self._live.update(self._table(), refresh=True)

    # -- drawing -------------------------------------------------------------------------------------------------

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False)
        for heading, justify in (("running", "left"), ("epoch", "right"), ("now", "right"), ("best", "right")):
            table.add_column(heading, justify=justify, style="dim" if heading == "epoch" else None)  # type: ignore[arg-type]
        running = [line for line in self.lines.values() if line.has_worker]
        for line in running:
            epochs = f"{line.epoch}/{self.spec.budget.epochs}"
            table.add_row(line.name, epochs, self._show(line.score), self._show(line.best))
        counts = "  ".join(f"{label} {count}" for label, count in sorted(self.ended.items()))
        waiting = len(self.lines) - len(running)  # for a worker that trains others of their shape
        words = f"running {len(running)}" + (f"  waiting {waiting}" if waiting else "")
        head = Text(f"{self.spec.study}   {counts}   {words}", style="bold")
        return Group(head, Text(self._progress()), table)

    def _progress(self) -> str:
        """Word how far the study is: trials done, best score, trial 0, pace and time left."""
        done = sum(self.ended.values())
        parts = [f"{done}/{self.most} trials"]
        if self.best:
            parts.append(f"best {self._show(self.best[0])} (trial {self.best[1]})")
        if self.first is not None:
            parts.append(f"trial 0 {self._show(self.first)}")
        if self._ended_here:
            seconds = (time.monotonic() - self._started) / self._ended_here
            left = max(0, self.most - done)
            parts.append(f"{60 / seconds:.1f} trials/min, {_clock(seconds * left)} left")
        return ", ".join(parts)

    def _show(self, value: float | None) -> str:
        return show(self._objective.metric, value)

    def _print(self, text: str) -> None:
        self.console.out(text, highlight=False)

    def _better(self, one: float, other: float) -> bool:
        """True when `one` is at least as good as `other`; NaN is never."""
        return one >= other if self._objective.mode == "max" else one <= other


def _clock(seconds: float) -> str:
    """Write seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
