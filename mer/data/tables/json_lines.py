"""JSON lines: one object a line, read as a row whose columns are its keys."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from mer.data.tables.row import Row, raise_faults, refuse_many
from mer.errors import MerError

LONGEST_TEXT = 131_072  # characters, as in a CSV file


def read_json_lines(path: Path, text: str, then: str) -> tuple[list[str], list[Row], list[str]]:
    """Read all lines; a key that a line leaves out is an empty cell. Empty lines are passed over.

    Returns: the keys in the order of their first appearance, the rows, and what is unusual about the file.
    Raises: MerError (or Faults) for lines that are no objects of plain values.
    """
    read: list[tuple[int, dict[str, str]]] = []
    faults: list[MerError] = []
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            try:
                read.append((line, _cells(content)))
            except ValueError as fault:
                faults.append(MerError(f"{path}:{line}", str(fault)))
    raise_faults(path, faults, then)
    columns = list(dict.fromkeys(name for _, cells in read for name in cells))
    refuse_many(path, len(columns), then)
    return columns, [Row(path, line, {name: cells.get(name, "") for name in columns}) for line, cells in read], []


def _cells(content: str) -> dict[str, str]:
    """Read one line as cells. Raises: ValueError saying what is wrong with it."""
    try:
        found = json.loads(content, parse_int=str, parse_float=str, object_pairs_hook=_once)
    except json.JSONDecodeError as fault:
        raise ValueError(f"not JSON: {fault.msg.removesuffix(' at')} at character {fault.colno}") from None
    except RecursionError:
        raise ValueError("not a row: its values are nested without end") from None
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return {" ".join(name.split()): _cell(name, value) for name, value in found.items()}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {repeated!r} is there twice")
    return found


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = repr(value)  # of names, as pandas writes it
    if not isinstance(value, str):
        return ""  # nested values are nothing that a column could say
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"{name} has {len(value)} characters, at most {LONGEST_TEXT} are read")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise ValueError(f"{name} has half of a character (a lone surrogate): it is no text")
    return value
