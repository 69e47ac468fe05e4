"""Show a study while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from mer.config import TrialConfig
from mer.console import page
from mer.study.paths import trial_name
from mer.study.search.stored_trial import STATES, state_after
from mer.study.show.words import one_line, run_name, settings, short_names, show
from mer.study.space.spec import StudySpec
from mer.terminal.resized import Leftovers
from mer.terminal.spark import spark
from mer.training import Row
from trainables.wire import Outcome

_REDRAW_S = 0.25
_TOP = 3
_OTHER_LINES = 8  # of the table: head, progress, places, headings, and some room
_SPARK_CHARACTERS = 40
Places = Sequence[tuple[int, int]]  # of each worker: trials that it has, and places for trials


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
        top: score, number and parameters of the best finished trials so far, best first, from earlier runs.
    """

    spec: StudySpec
    most: int
    ended: Counter[str] = field(default_factory=Counter)
    best: tuple[float, int] | None = None
    first: float | None = None
    top: list[tuple[float, int, Mapping[str, Any]]] = field(default_factory=list)
    console: Console = field(default_factory=page)
    lines: dict[int, _Line] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._started = self._drawn = time.monotonic()
        self._ended_here = 0
        self._objective = self.spec.objective[0]
        self._drawn_for: dict[int, Mapping[str, Any]] = {}
        self._rising = [self.best[0]] if self.best else []  # best score after each trial that finished
        self._places: Places = ()
        self._leftovers = Leftovers(self.console)
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
        self._drawn_for[number] = dict(params)

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
        params = self._drawn_for.pop(number, {})
        if score is not None and outcome == "finished":
            self._rank(score, number, params)
        if self._live is None:
            words = f"{self._show(score)} at epoch {best['epoch']:.0f}" if best and score is not None else ""
            why = f" ({reason})" if reason and outcome != "finished" else ""
            self._print(f"{line.name}: {state} {words}{why}   {self._progress()}")

    def tick(self, places: Places = ()) -> None:
        """Redraw the table if the last drawing is old enough."""
        self._places = places
        if self._live and time.monotonic() - self._drawn > _REDRAW_S:
            self._drawn = time.monotonic()
            self._leftovers.erase()
            table = self._table()
            self._live.update(table, refresh=True)
            self._leftovers.drawn(table)

    def _rank(self, score: float, number: int, params: Mapping[str, Any]) -> None:
        """Take a finished trial among the best. One that is equal to an earlier one comes after it."""
        above = sum(self._better(one[0], score) for one in self.top)
        self.top[above:above] = [(score, number, params)]
        del self.top[_TOP:]
        if self.best is None or not self._better(self.best[0], score):
            self.best = (score, number)
        self._rising.append(self.best[0])

    # -- drawing -------------------------------------------------------------------------------------------------

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False)
        for heading, justify in (("running", "left"), ("epoch", "right"), ("now", "right"), ("best", "right")):
            style, fixed = "dim" if heading == "epoch" else None, heading != "running"
            table.add_column(heading, justify=justify, style=style, no_wrap=fixed)  # type: ignore[arg-type]
        running = [line for line in self.lines.values() if line.has_worker]
        room = max(1, self.console.height - _OTHER_LINES - len(self.top))
        for line in running[:room]:
            epochs = f"{line.epoch}/{self.spec.budget.epochs}"
            table.add_row(one_line(line.name), epochs, self._show(line.score), self._show(line.best))
        counts = "  ".join(f"{label} {count}" for label, count in sorted(self.ended.items()))
        waiting = len(self.lines) - len(running)  # for a worker that trains others of their shape
        words = f"running {len(running)}" + (f"  waiting {waiting}" if waiting else "")
        words += f"  ({len(running) - room} more below)" if len(running) > room else ""
        head = one_line(f"{self.spec.study}   {counts}   {words}")
        head.stylize("bold")
        lines = [one_line(line) for line in (self._progress(), *self._hosts())]
        return Group(head, *lines, *self._best_table(), table)

    def _hosts(self) -> list[str]:
        """Word how many places of the workers are taken; [] before a worker was heard of, or with one place each."""
        if not any(room > 1 for _, room in self._places):
            return []
        each = ", ".join(f"{taken} of {room}" for taken, room in self._places)
        workers = "1 worker, a pack" if len(self._places) == 1 else f"{len(self._places)} workers, packs"
        return [f"{workers} of {each} places"]

    def _best_table(self) -> list[Table]:
        """Draw the best finished trials with their settings, and how the best score rose."""
        if not self.top:
            return []
        bars = spark(self._rising, width=_SPARK_CHARACTERS, encoding=self.console.encoding)
        table = Table(box=None, pad_edge=False)
        table.add_column("best", justify="right", no_wrap=True)
        table.add_column(self._objective.metric.removeprefix("dev_"), justify="right", no_wrap=True)
        table.add_column(one_line(bars if len(self._rising) > 1 else "settings"))
        names = short_names(list(self.spec.params))
        conditions = {key: list(param.when) for key, param in self.spec.params.items()}
        for score, number, params in self.top:
            table.add_row(trial_name(number), self._show(score), one_line(settings(params, conditions, names)))
        return [table]

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
