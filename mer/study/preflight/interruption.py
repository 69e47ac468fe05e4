"""Say how to go on after a command was interrupted, at whatever moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mer.study.paths import JOURNAL
from mer.study.preflight.run_options import RunOptions
from mer.study.space.spec import StudySpec

if TYPE_CHECKING:
    from rich.console import Console


class OrderlyStop(KeyboardInterrupt):
    """An interruption after which the user was told how to go on."""


@contextmanager
def going_on_told(options: RunOptions, spec: StudySpec, console: Console) -> Iterator[None]:
    """Print how to go on when the block is interrupted and has not said it. Raises: OrderlyStop then."""
    former = _identity(options, spec)
    try:
        yield
    except OrderlyStop:
        raise
    except KeyboardInterrupt:
        text = after_interruption(options, spec, former)
        console.print(text, highlight=False, markup=False, soft_wrap=True)
        raise OrderlyStop from None


def after_interruption(options: RunOptions, spec: StudySpec, former: int = 0) -> str:
    """Return lines for the user.

    Args: former: `_identity` of a study that --fresh was to put aside; 0: it was put aside.
    """
    now = _identity(options, spec)
    if not now or (options.fresh and now == former):
        return f"interrupted before the study began: nothing is lost. Begin again with\n  {options.once_more}"
    again = options.try_again if options.retry_failed else options.go_on
    return f"interrupted: nothing is lost. Go on with\n  {again(spec.budget.trials)}"


def _identity(options: RunOptions, spec: StudySpec) -> int:
    """Return a number that tells a study's journal from another of the same name; 0 where there is none."""
    try:
        return (options.studies / spec.study / JOURNAL).stat().st_ino
    except OSError:
        return 0
