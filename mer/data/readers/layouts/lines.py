"""Text files with a line for each utterance, among lines that say something else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mer.data.readers.layouts.layout import lines_of, table_of
from mer.data.tables import Table
from mer.errors import MerError


@dataclass(frozen=True)
class Lines:
    """Lines of a pattern.

    Args:
        files: glob below the folder.
        pattern: its named groups become cells; lines of another form are passed over.
        beside: files that say more of the same utterances, known by their cell `id`.
        order: a cell with a number: rows of a file are put in its order. "": they stay in the order of the lines.
    """

    files: str
    pattern: str
    beside: Lines | None = None
    order: str = ""

    @property
    def wants(self) -> str:
        return self.files + (f" (and {self.beside.wants})" if self.beside else "")

    def knows(self, root: Path) -> bool:
        return next(root.glob(self.files), None) is not None

    def read(self, root: Path, encoding: str | None) -> Table:
        more = {cells["id"]: cells for _, _, cells in self.beside._cells(root, encoding)} if self.beside else {}
        rows = [
            (path, line, {**more.get(cells.get("id", ""), {}), **cells})
            for path, line, cells in self._cells(root, encoding)
        ]
        if not rows:
            raise MerError(
                root,
                f"no line of {self.files} is an utterance",
                allowed=f"lines of the form {self.pattern}",
                then="unpack the corpus again",
            )
        return table_of(root, rows)

    def _cells(self, root: Path, encoding: str | None) -> Iterator[tuple[Path, int, dict[str, str]]]:
        for path in sorted(root.glob(self.files)):
            found = []
            for number, line in enumerate(lines_of(path, encoding), start=1):
                if match := re.fullmatch(self.pattern, line.strip()):
                    found.append((path, number, {name: cell or "" for name, cell in match.groupdict().items()}))
            yield from sorted(found, key=lambda row: float(row[2][self.order])) if self.order else found
