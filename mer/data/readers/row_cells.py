"""What a row of a user's file says: its name, its dialogue, its speaker, its clips."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from mer.data.readers.columns import Roles
from mer.data.tables import Row, Table
from mer.data.tables.row import names_in, shortened, whole_number

_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]")  # an id is a line of text in files and logs


def row_names(table: Table, roles: Roles) -> Callable[[Row], str]:
    """Name each row of a table by its id, else by its clip's file name, else by its place.

    Raises: MerError for a name that is no line of text, in a column that the user named.
    """
    for role in ("id", "audio", "video"):
        if role not in roles:
            continue
        cells = [roles.cell(row, role).strip().replace("\\", "/") for row in table.rows]
        odd = next((place for place, cell in enumerate(cells) if _CONTROL.search(cell)), None)
        if odd is not None and role in roles.guessed:
            continue
        if odd is not None:
            found = f"{roles.column(role)} is {shortened(cells[odd])}"
            raise table.rows[odd].fault(found, "one line without control characters")
        names = cells if role == "id" else [PurePosixPath(cell).stem for cell in cells]
        sure = role == "id" and role not in roles.guessed
        if all(names) and (sure or len(set(names)) == len(names)):
            named = [name if (number := whole_number(name)) is None else f"id{number}" for name in names]
            return _of_rows(table, named)
    return _of_rows(table, [f"row{place}" for place in range(1, len(table.rows) + 1)])


def _of_rows(table: Table, names: Sequence[str]) -> Callable[[Row], str]:
    """Look names up by the row itself: rows of several files may have the same line."""
    known = {id(row): name for row, name in zip(table.rows, names, strict=True)}
    return lambda row: known[id(row)]


def dialogue_name(row: Row, roles: Roles) -> str:
    """Name the dialogue of a row: numbers as in MELD, "dia0"; "" where the data have no dialogues."""
    if "dialogue" not in roles:
        return ""
    said = roles.named["dialogue"]
    return row.dialogue(said) if said in row.cells else roles.cell(row, "dialogue")


def speaker_name(row: Row, roles: Roles) -> str:
    cell = roles.cell(row, "speaker").strip()
    names = names_in(cell)
    return cell if names is None else " and ".join(names)


def clip_name(cell: str, folder: Path) -> str | None:
    """Return a clip's path relative to the folder, where it lies in it; None without one."""
    path = cell.strip().replace("\\", "/")
    if not path:
        return None
    if path.startswith("/") and Path(path).is_relative_to(folder.absolute()):
        return Path(path).relative_to(folder.absolute()).as_posix()
    return path.removeprefix("./")
