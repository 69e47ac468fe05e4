"""CSV files of fixed names: one for all rows, or one for each split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mer.data.readers.layouts.layout import table_of
from mer.data.tables import Table, read_table

_FIX = "correct the file, or put the published one there"


@dataclass(frozen=True)
class OneTable:
    """One file with all rows.

    Args:
        names: the first that is there counts.
        needs: columns that tell it from another file of that name.
        parsed: column -> a pattern found in its cells, whose named groups become cells too.
    """

    names: tuple[str, ...]
    needs: tuple[str, ...]
    parsed: Mapping[str, str] = field(default_factory=dict)

    @property
    def wants(self) -> str:
        return f"{' or '.join(self.names)} with {', '.join(self.needs)}"

    def knows(self, root: Path) -> bool:
        return self._file(root) is not None

    def read(self, root: Path, encoding: str | None) -> Table:
        path = self._file(root)
        assert path is not None
        table = _whole(path, self.needs, encoding)
        rows = [(row.path, row.line, {**row.cells, **self._parsed(row.cells)}) for row in table.rows]
        return table_of(path, rows)

    def _file(self, root: Path) -> Path | None:
        return next((root / name for name in self.names if (root / name).is_file()), None)

    def _parsed(self, cells: Mapping[str, str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for column, pattern in self.parsed.items():
            match = re.search(pattern, cells[column].replace("\\", "/"))
            found |= match.groupdict("") if match else dict.fromkeys(re.compile(pattern).groupindex, "")
        return found


@dataclass(frozen=True)
class Part:
    """One file of several: its split, and cells that all of its rows get."""

    file: str
    split: str
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PartTables:
    """A file for each split; those that are not there are left out, the first must be.

    Args:
        needs: columns of each.
        beside: a file that says more of the same rows, and the column by which it knows them.
    """

    parts: tuple[Part, ...]
    needs: tuple[str, ...]
    beside: tuple[str, str] | None = None

    @property
    def wants(self) -> str:
        return f"{', '.join(part.file for part in self.parts)} with {', '.join(self.needs)}"

    def knows(self, root: Path) -> bool:
        return (root / self.parts[0].file).is_file()

    def read(self, root: Path, encoding: str | None) -> Table:
        more = self._beside(root, encoding)
        rows = []
        for part in self.parts:
            path = root / part.file
            if not path.is_file():
                continue
            for row in _whole(path, self.needs, encoding).rows:
                further = more.get(row.cells[self.beside[1]], {}) if self.beside else {}
                rows.append((path, row.line, {**further, **row.cells, **part.cells, "split": part.split}))
        return table_of(root, rows)

    def _beside(self, root: Path, encoding: str | None) -> dict[str, dict[str, str]]:
        if self.beside is None or not (root / self.beside[0]).is_file():
            return {}
        name, key = self.beside
        return {row.cells[key]: row.cells for row in _whole(root / name, (key,), encoding).rows}


def _whole(path: Path, needs: tuple[str, ...], encoding: str | None) -> Table:
    table = read_table(path, _FIX, encoding=encoding)
    if fault := table.missing(needs, _FIX):
        raise fault
    return table
