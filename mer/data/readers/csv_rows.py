"""CSV rows with a file:line for every complaint. All readers use this module."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mer.data.text import repair_c1
from mer.errors import Faults, MerError, did_you_mean

SHOWN_FAULTS = 10
Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class CsvRow:
    """The needed cells of one CSV row. Methods parse a cell, or raise MerError naming file and line."""

    path: Path
    line: int
    cells: dict[str, str]

    def fault(self, found: str, allowed: str = "") -> MerError:
        return MerError(f"{self.path}:{self.line}", found, allowed=allowed)

    def text(self, column: str) -> str:
        return repair_c1(self.cells[column])

    def integer(self, column: str) -> int:
        cell = self.cells[column].strip()
        if not (cell.isascii() and cell.isdecimal()):
            raise self.fault(f"{column} is {cell!r}", "a whole number, 0 or more")
        return int(cell)

    def label(self, column: str, names: Sequence[str]) -> str:
        """Read the cell as one of `names`, which are lower case; the cell may have any case."""
        cell = self.cells[column].strip()
        if cell.lower() not in names:
            raise self.fault(f"{column} is {cell!r}.{did_you_mean(cell.lower(), names)}", ", ".join(names))
        return cell.lower()


def read_rows(path: Path, columns: Sequence[str], then: str, optional: Sequence[str] = ()) -> list[CsvRow]:
    """Read all rows of a UTF-8 CSV file whose header has at least `columns`; other columns are ignored.

    Args:
        then: what the user should do if something is wrong with the file.
        optional: further columns to keep if the header has them.
    Raises: MerError (or Faults) for undecodable bytes, a broken CSV, missing columns, ragged rows, no rows.
    """
    # newline="" leaves line ends to the csv module: splitlines() would also cut at U+0085 inside a text
    records = csv.reader(io.StringIO(_decode(path, then), newline=""), strict=True)
    header = _header(path, records, columns, then)
    kept = [*columns, *(name for name in optional if name in header)]
    rows, faults, line = [], [], records.line_num + 1
    try:
        for cells in records:
            if len(cells) == len(header):
                named = dict(zip(header, cells, strict=True))
                rows.append(CsvRow(path, line, {column: named[column] for column in kept}))
            elif cells:  # an empty line is not a fault
                faults.append(
                    MerError(f"{path}:{line}", f"the row has {len(cells)} cells", allowed=f"{len(header)} cells")
                )
            line = records.line_num + 1
    except csv.Error as fault:
        raise MerError(f"{path}:{line}", f"not valid CSV: {fault}", then=then) from fault
    raise_faults(path, faults, then)
    if not rows:
        raise MerError(path, "the split is empty: the file has a header and no rows", then=then)
    return rows


def parse_rows(rows: Iterable[CsvRow], parse: Callable[[CsvRow], Parsed]) -> tuple[list[Parsed], list[MerError]]:
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


def _decode(path: Path, then: str) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")  # tolerates a byte order mark
    except UnicodeDecodeError as fault:
        # offsets in the fault do not count a byte order mark; it has no line end, so the line is right anyway
        line = content.count(b"\n", 0, fault.start) + 1
        byte = fault.object[fault.start]
        raise MerError(f"{path}:{line}", f"byte 0x{byte:02x} is not UTF-8", allowed="UTF-8 text", then=then) from fault


def _header(path: Path, records: Iterable[list[str]], columns: Sequence[str], then: str) -> list[str]:
    try:
        header = [name.strip() for name in next(iter(records), [])]
    except csv.Error as fault:
        raise MerError(f"{path}:1", f"not valid CSV: {fault}", then=then) from fault
    missing = [column for column in columns if column not in header]
    if missing:
        raise MerError(
            f"{path}:1",
            f"missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; the header has "
            f"{', '.join(header) or 'nothing'}",
            allowed=f"a header with {', '.join(columns)}",
            then=then,
        )
    return header
