"""A live table on a terminal that becomes narrower: no line of an earlier drawing stays."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from rich.live import Live
from rich.text import Text

from mer.terminal.resized import Leftovers


class Terminal(io.StringIO):
    """Enough of a terminal that folds long lines again when its width changes (as most do)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.rows, self.row, self.column = width, [""], 0, 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        for code, count, kind, plain in re.findall(r"(\x1b\[\??(\d*)([A-Za-z]))|([^\x1b])", text):
            if code:
                if kind == "A":
                    self.row = max(0, self.row - int(count or 1))
                elif kind == "K":
                    self.rows[self.row] = ""
            elif plain == "\r":
                self.column = 0
            elif plain == "\n":
                self.row, self.column = self.row + 1, 0
                self.rows += [""] * (self.row + 1 - len(self.rows))
            else:
                line = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = line[: self.column] + plain + line[self.column + 1 :]
                self.column += 1
        return len(text)

    def narrow(self, width: int) -> None:
        folded = []
        for line in self.rows:
            folded += [line[at : at + width] for at in range(0, max(1, len(line)), width)]
        self.width, self.rows, self.row = width, folded, len(folded) - 1
        self.column = len(folded[-1])


@pytest.mark.parametrize("width", [40, 25, 80])
def test_nothing_of_a_wider_drawing_stays(width: int) -> None:
    terminal = Terminal(80)
    console = Console(file=terminal, force_terminal=True, width=80, height=30, color_system=None)
    leftovers = Leftovers(console)
    terminal.write("before\n")
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for number in range(4):
            if number == 2:
                terminal.narrow(width)
                console.width = width
            leftovers.erase()
            table = Text("\n".join(f"{number} {letter * 200}" for letter in "abc"), no_wrap=True, overflow="ellipsis")
            live.update(table, refresh=True)
            leftovers.drawn(table)
            shown = [line for line in terminal.rows if line]
            assert shown[0] == "before" and [line[:3] for line in shown[1:]] == [f"{number} {c}" for c in "abc"]
    assert [line for line in terminal.rows if line] == ["before"]
