"""CSV files that people open in a spreadsheet: no cell of them is run as a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

_FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.ASCII)


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Write a CSV file, its header being the first row."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([[harmless_cell(value) for value in row] for row in rows])
    return stream.getvalue()


def harmless_cell(value: object) -> object:
    """Return a value as a cell that no spreadsheet runs.

    Text that begins like a formula gets a `'` before it, which spreadsheets take as "this is text". Numbers stay
    numbers, "-0.5" too.
    """
    if not isinstance(value, str) or not _FORMULA.match(value) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def text_of_cell(cell: str) -> str:
    """Return the text for which `harmless_cell` wrote a cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
