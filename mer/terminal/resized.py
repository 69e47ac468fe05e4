"""What a live table leaves behind on a terminal that became narrower: rows that were one line and are two."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.control import Control
from rich.segment import ControlType


class Leftovers:
    """Erases the rest of a drawing that the terminal has folded. Call `erase` before each drawing, `drawn` after it.

    A live table of rich goes up by the lines that it drew and erases each. Lines that are longer than the narrower
    terminal take more of them.
    """

    def __init__(self, console: Console) -> None:
        self.console, self._widths = console, [0]

    def drawn(self, renderable: RenderableType) -> None:
        """Remember how wide the lines of a drawing are."""
        lines = self.console.render_lines(renderable, pad=False)
        self._widths = [sum(segment.cell_length for segment in line) for line in lines]

    def erase(self) -> None:
        """Erase as many lines as folding has added."""
        width = max(1, self.console.width)
        added = sum(max(0, -(-length // width) - 1) for length in self._widths)
        if added:
            codes = [(ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)] * added
            self.console.control(Control(ControlType.CARRIAGE_RETURN, *codes))
            self._widths = [0]
