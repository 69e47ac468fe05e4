"""rich's console, on which commands draw tables and live tables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Self

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from mer.terminal.escapes import neutral

PIPE_COLUMNS = 160


class Page(Console):
    """A console that shows control characters in what it prints, and writes those of its own colours and cursor."""

    @classmethod
    def on(cls, stream: Any, *, markup: bool = False, pipe_columns: int = PIPE_COLUMNS) -> Self:
        """Make the page of a stream.

        Args:
            stream: standard output or error.
            markup: square brackets are markup. By default they are not: names, labels and options that a user typed
                hold some.
            pipe_columns: width of a file or a pipe, which have none: tables are not folded at 80 columns there.
        """
        console = cls(file=getattr(stream, "beneath", stream), highlight=False, markup=markup)
        if not console.is_terminal and "COLUMNS" not in os.environ:  # which rich goes by
            console.width = pipe_columns
        return console

    def render_str(self, text: str, **options: Any) -> Text:
        """Make rich's text of a string: written out here, what is added counts in the width of a column."""
        return super().render_str(neutral(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does; text that did not come as a string is looked at here."""
        return _neutral(super().render(renderable, options))


def _neutral(segments: Iterable[Segment]) -> Iterator[Segment]:
    for segment in segments:
        text, style, control = segment
        yield segment if control or (shown := neutral(text)) == text else Segment(shown, style)
