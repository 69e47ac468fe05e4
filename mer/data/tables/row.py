"""A row of a table, and its cells: what they say, or a complaint with file and line."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mer.data.text import repair_c1
from mer.errors import Faults, MerError, did_you_mean

SHOWN_FAULTS = 10
LONGEST_ID = 200  # characters
MOST_COLUMNS = 10_000
Parsed = TypeVar("Parsed")

# 7, 007, and 7.0 or 7,0 as a spreadsheet or pandas writes it
_WHOLE = re.compile(r"([0-9]{1,15})(?:[.,]0{1,6})?")


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row by column. Methods parse a cell, or raise MerError naming file and line."""

    path: Path
    line: int
    cells: dict[str, str]

    def fault(self, found: str, allowed: str = "") -> MerError:
        return MerError(f"{self.path}:{self.line}", found, allowed=allowed)

    def text(self, column: str) -> str:
        return repair_c1(self.cells[column])

    def integer(self, column: str) -> int:
        number = whole_number(self.cells[column])
        if number is None:
            raise self.fault(f"{column} is {shortened(self.cells[column].strip())}", "a whole number, 0 or more")
        return number

    def label(self, column: str, names: Sequence[str]) -> str:
        """Read the cell as one of `names`, which are lower case; the cell may have any case. "" stays: no label."""
        cell = self.cells[column].strip()
        if cell and cell.lower() not in names:
            found = f"{column} is {shortened(cell)}.{did_you_mean(cell.lower()[:LONGEST_ID], names)}"
            raise self.fault(found, ", ".join(names))
        return cell.lower()

    def name(self, column: str) -> str:
        """Read the cell as the name of something: one line of printable text, white space collapsed."""
        cell = " ".join(self.text(column).split())
        if len(cell) > LONGEST_ID or not cell.isprintable():
            raise self.fault(
                f"{column} is {shortened(cell)}", f"a name of at most {LONGEST_ID} characters, all printable"
            )
        return cell

    def dialogue(self, column: str) -> str:
        """Read the name of a dialogue: numbers as in MELD, "dia0", or text as it is."""
        cell = self.name(column)
        if not cell:
            raise self.fault(f"{column} is empty", "the dialogue of each utterance")
        number = whole_number(cell)
        return cell if number is None else f"dia{number}"


def whole_number(cell: str) -> int | None:
    """Read a whole number, 0 or more; None for other text."""
    match = _WHOLE.fullmatch(cell.strip())
    return int(match.group(1)) if match else None


def names_in(cell: str) -> list[str] | None:
    """Read a Python list of names, as pandas writes it: "['Joey', 'Ross']"; None for other text."""
    if not cell.lstrip().startswith("["):
        return None
    try:
        names = ast.literal_eval(cell.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        return None
    return [name.strip() for name in names]


def shortened(cell: str) -> str:
    """Quote a cell for a message: long ones only in part."""
    return repr(cell) if len(cell) <= LONGEST_ID else f"{cell[:40]!r}... ({len(cell)} characters)"


def refuse_many(where: object, columns: int, then: str) -> None:
    """Raise MerError for more columns than a table of utterances has."""
    if columns > MOST_COLUMNS:
        raise MerError(where, f"has {columns} columns", allowed=f"at most {MOST_COLUMNS}", then=then)


def parse_rows(rows: Iterable[Row], parse: Callable[[Row], Parsed]) -> tuple[list[Parsed], list[MerError]]:
    """Parse every row; collect the faults, so that one message can name them all."""
    parsed: list[Parsed] = []
    faults: list[MerError] = []
    for row in rows:
        try:
            parsed.append(parse(row))
        except MerError as fault:
            faults.append(fault)
    return parsed, faults


def raise_faults(path: Path, faults: Sequence[MerError], then: str) -> None:
    """Raise the collected faults as one error that ends with `then`; do nothing without faults."""
    if not faults:
        return
    shown, hidden = list(faults[:SHOWN_FAULTS]), len(faults) - SHOWN_FAULTS
    if hidden > 0:
        shown.append(MerError(path, f"and {hidden} more faults, not shown"))
    last = shown[-1]
    shown[-1] = MerError(last.where, last.found, allowed=last.allowed, then=then)
    raise shown[0] if len(shown) == 1 else Faults(path, shown)
