"""Show how far a long job is: a bar with rate and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Step = Callable[[int, int], None]  # (rows done, rows in all)
Progress = Step | bool | None  # a function of ours to call | draw or not | draw (the default)
SPARSE_LINE_S = 10.0


@contextlib.contextmanager
def reporting(progress: Progress, title: str, unit: str = "texts", *, brief: bool = False) -> Iterator[Step]:
    """Give a function to call with (done, total), as often as one likes.

    Args:
        progress: a function that takes the place of the bar, whether to draw one, or None to draw it.
        title: what the line begins with.
        unit: what is counted.
        brief: without a terminal, print no line for a job that ends within `SPARSE_LINE_S`; clear the bar at the end.
    """
    if callable(progress):
        yield progress
    elif progress is False:
        yield lambda done, total: None
    elif sys.stderr.isatty():
        with _bar(title, transient=brief) as step:
            yield step
    else:
        yield _lines(title, unit, brief)


@contextlib.contextmanager
def _bar(title: str, transient: bool) -> Iterator[Step]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mer.terminal.page import Page

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Page.on(sys.stderr), transient=transient) as bar:
        task = bar.add_task(title, total=None, rate="")
        clock = _Clock()
        yield lambda done, total: bar.update(task, completed=done, total=total, rate=f"{clock.rate(done):.0f}/s")


def _lines(title: str, unit: str, brief: bool) -> Step:
    clock, last = _Clock(), [time.monotonic()]

    def step(done: int, total: int) -> None:
        now = time.monotonic()
        rate = clock.rate(done)
        if (done == total and not brief) or now - last[0] >= SPARSE_LINE_S:
            last[0] = now
            left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
            print(f"{title}: {done}/{total} {unit}, {rate:.0f}/s{left}", file=sys.stderr, flush=True)

    return step


class _Clock:
    """Rows per second since the first row began, so that rows a killed run left behind do not flatter the rate."""

    def __init__(self) -> None:
        self.start: tuple[float, int] | None = None

    def rate(self, done: int) -> float:
        now = time.monotonic()
        if self.start is None or done == self.start[1]:  # what came before the first row took no time of rows
            self.start = (now, done)
        seconds = now - self.start[0]
        return (done - self.start[1]) / seconds if seconds > 0 else 0.0
