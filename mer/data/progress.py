"""How far a command over many clips is, on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Step = Callable[[int, int], None]  # (clips done, clips in all)
SPARSE_LINE_S = 10.0


@contextlib.contextmanager
def counting(title: str) -> Iterator[Step]:
    """Give a function to call with (done, total), as often as one likes."""
    if not sys.stderr.isatty():
        yield _lines(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(title: str) -> Step:
    last = time.monotonic()

    def step(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= SPARSE_LINE_S:
            last = time.monotonic()
            print(f"{title}: {done} of {total} clips", file=sys.stderr, flush=True)

    return step
