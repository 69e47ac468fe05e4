"""Read JSON and CSV files that may be missing, cut short, or no such thing at all."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from mer.terminal.spreadsheet import text_of_cell

_LARGEST_BYTES = 256 * 2**20
BROKEN = (OSError, ValueError, TypeError, LookupError, csv.Error, RecursionError, OverflowError, MemoryError)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; one that is missing or cut off, as in a study that is being copied, gives an empty dict."""
    try:
        found = json.loads(read_text(path))
    except BROKEN:
        return {}
    return found if isinstance(found, dict) else {}


def inner(found: Any, *keys: str) -> dict[str, Any]:
    """Return the object below these keys; empty where there is none."""
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def number(found: Any) -> float | None:
    """Return a finite number; None for anything else."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        value = float(found)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def whole(found: Any) -> int | None:
    """Return a whole number that is no larger than what files hold; None for anything else."""
    return found if isinstance(found, int) and not isinstance(found, bool) and abs(found) < 2**63 else None


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read a CSV file: its header and its rows by name.

    Raises: one of BROKEN, for what is no regular file, no text, or has rows of another width than the header.
    """
    lines = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    header, *rows = [[text_of_cell(cell) for cell in line] for line in lines] or [[]]
    if not header or len(set(header)) != len(header):
        raise ValueError("has no header" if not header else "names a column twice")
    if odd := [number for number, row in enumerate(rows, 2) if len(row) != len(header)]:
        raise ValueError(f"line {odd[0]} has another number of cells than the header")
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def read_text(path: Path) -> str:
    """Read a text file. Raises: OSError, ValueError for a pipe, which would be waited for, and a huge file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file")
    if path.stat().st_size > _LARGEST_BYTES:
        raise ValueError(f"is larger than {_LARGEST_BYTES // 2**20} MiB")
    return path.read_text(encoding="utf-8-sig")


def reason(fault: BaseException) -> str:
    """Word in a few words why a file cannot be read."""
    if isinstance(fault, UnicodeDecodeError):
        return "it is no UTF-8 text"
    if isinstance(fault, json.JSONDecodeError):
        return f"it breaks off or goes astray at line {fault.lineno}, character {fault.colno}"
    if isinstance(fault, RecursionError):
        return "it is nested too deeply"
    text = str(fault) or type(fault).__name__
    return text if len(text) <= 160 else text[:157] + "..."
