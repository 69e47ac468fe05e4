"""Make text from files harmless before a terminal, a log or a spreadsheet takes it for commands.

A file's text may hold escape sequences (clear the screen, set the title, write to the clipboard), signs that reverse
the direction of reading, line ends that fake another line, and cells that a spreadsheet evaluates as formulas.
"""

from __future__ import annotations

import re

# C0 without tab and newline, DEL, C1 (its 0x9b is ESC [ in one byte), bidirectional overrides and isolates, line and
# paragraph separators, and lone surrogates, which no encoding can write.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")
_FORMULA = re.compile(r"[=+\-@\t\r＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.ASCII)


def neutral(text: str) -> str:
    """Write control characters as `\\u001b`. Tabs and newlines stay. JSON text keeps its meaning: this is its own
    notation for them."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def spreadsheet_cell(value: object) -> object:
    """Return a value as a CSV cell that no spreadsheet runs.

    Text that begins like a formula gets a `'` before it, which spreadsheets take as "this is text". Numbers stay
    numbers, "-0.5" too.
    """
    if not isinstance(value, str) or not _FORMULA.match(value) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def text_of_cell(cell: str) -> str:
    """Return what a cell written by `spreadsheet_cell` stands for."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell
