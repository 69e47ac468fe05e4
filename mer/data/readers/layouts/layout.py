"""What every layout can do, and what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mer.data.tables import Row, Table
from mer.data.tables.encodings import decode
from mer.errors import MerError
from mer.read_files import read_bytes

_LARGEST_BYTES = 2**28


class Layout(Protocol):
    """The files of a corpus below its folder."""

    @property
    def wants(self) -> str:
        """The files, in words."""
        ...

    def knows(self, root: Path) -> bool:
        """Tell whether its files are there; reads none of them."""
        ...

    def read(self, root: Path, encoding: str | None) -> Table:
        """Read all rows. Called where `knows` says so. Raises: MerError naming file and line."""
        ...


def table_of(root: Path, rows: Sequence[tuple[Path, int, Mapping[str, str]]]) -> Table:
    """Make a table of cells; every row gets all columns.

    Args: rows: file, line in it, and cells.
    """
    columns = tuple(dict.fromkeys(name for _, _, cells in rows for name in cells))
    made = tuple(Row(path, line, {name: cells.get(name, "") for name in columns}) for path, line, cells in rows)
    return Table(root, columns, made)


def lines_of(path: Path, encoding: str | None) -> list[str]:
    """Read the lines of a text file; only a line feed ends one, for others stand inside of texts. Raises: MerError."""
    try:
        content = read_bytes(path, largest=_LARGEST_BYTES)
    except OSError as fault:
        raise MerError(path, f"cannot be read: {fault.strerror}") from fault
    text, _ = decode(content, str(path), encoding=encoding, then="name its encoding: --set data.encoding=NAME")
    return [line.rstrip("\r") for line in text.split("\n")]
