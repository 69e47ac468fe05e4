"""CSV and its like: fields between commas, semicolons, tabs or bars, as spreadsheets and pandas write them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

from mer.data.tables.row import Row, raise_faults, refuse_many
from mer.errors import MerError

SEPARATORS = {",": "commas", ";": "';' between cells", "\t": "tabs between cells", "|": "'|' between cells"}


def read_separated(path: Path, text: str, then: str) -> tuple[list[str], list[Row], list[str]]:
    """Read a header and all rows.

    Returns: the column names, the rows, and what is unusual about the file, in words.
    Raises: MerError (or Faults) for a broken file, a repeated column, rows of another length than the header.
    """
    declared = _declared(text)  # Excel's first line: sep=;
    body = text.partition("\n")[2] if declared else text
    separator, before = declared or _separator(body), int(bool(declared))
    # newline="" leaves line ends to the csv module: splitlines() would also cut at U+0085 inside a text
    records = csv.reader(io.StringIO(body, newline=""), strict=True, delimiter=separator)
    header: list[str] = []
    rows, faults, blank, line = [], [], 0, before + 1
    try:
        header = _header(path, records, before, then)
        line = records.line_num + before + 1
        for cells in records:
            if not any(cell.strip() for cell in cells):
                blank += bool(cells)  # an empty line is nothing unusual
            elif len(cells) == len(header) or _only_blanks_beyond(cells, len(header)):
                named = {name: cell for name, cell in zip(header, cells, strict=False) if name}
                rows.append(Row(path, line, named))
            else:
                found = f"the row has {len(cells)} cells"
                faults.append(MerError(f"{path}:{line}", found, allowed=f"{len(header)} cells"))
            line = records.line_num + before + 1
    except csv.Error as fault:
        raise MerError(f"{path}:{line}", f"not valid CSV: {_words(fault)}", then=then) from fault
    raise_faults(path, faults, then)
    unusual = [] if separator == "," else [SEPARATORS[separator]]
    if blank:
        unusual.append(f"{blank} row{'s' if blank > 1 else ''} without a word passed over")
    return [name for name in header if name], rows, unusual


def _only_blanks_beyond(cells: list[str], width: int) -> bool:
    """Tell whether a row that is longer than the header has only blank cells there."""
    return len(cells) > width and not any(cell.strip() for cell in cells[width:])


def _header(path: Path, records: Any, before: int, then: str) -> list[str]:
    """Return the column names, "" for a column without one. Raises: MerError for a name that is there twice.

    Args: before: lines of the file before those of `records`.
    """
    header: list[str] = []
    for cells in records:
        header = [" ".join(name.split()) for name in cells]
        if any(header):  # blank lines may come first
            break
    refuse_many(f"{path}:{records.line_num + before}", len(header), then)
    repeated = [name for name, count in Counter(header).items() if name and count > 1]
    if repeated:
        raise MerError(
            f"{path}:{records.line_num + before}",
            f"the column {repeated[0]} is there twice",
            allowed="each column once",
            then=f"rename or remove one of the two columns {repeated[0]}",
        )
    return header


def _declared(text: str) -> str:
    """Return the separator of a first line `sep=;`, which Excel writes and reads; "" without one."""
    first = text[:8].split("\n", 1)[0].strip().lower()
    return first[4:5] if first.startswith("sep=") and first[4:5] in SEPARATORS else ""


def _separator(text: str) -> str:
    """Return the character that separates the header's names: the most frequent one outside quotes."""
    header = next((line for line in text.split("\n", 50) if line.strip()), "")[:100_000]
    unquoted = "".join(header.split('"')[::2])
    counts = {separator: unquoted.count(separator) for separator in SEPARATORS}
    return max(counts, key=lambda separator: counts[separator]) if any(counts.values()) else ","


def _words(fault: csv.Error) -> str:
    """Word a complaint of the csv module."""
    if "field larger than field limit" in str(fault):
        return f"a cell of more than {csv.field_size_limit()} characters (is a quote not closed?)"
    return str(fault)
