"""Clips whose names say everything about them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mer.data.media.paths import ending_of
from mer.data.readers.layouts.layout import table_of
from mer.data.tables import Table, raise_faults
from mer.errors import MerError


@dataclass(frozen=True)
class FileNames:
    """Clips of a naming rule. Cells are its named groups, `path` from the folder and `id`, the name without ending.

    Args:
        globs: below the folder; the first that finds clips counts.
        pattern: of a name without its ending.
        example: such a name.
    """

    globs: tuple[str, ...]
    pattern: str
    example: str

    @property
    def wants(self) -> str:
        return " or ".join(f"{glob.removesuffix('*')}{self.example}" for glob in self.globs)

    def knows(self, root: Path) -> bool:
        return any(re.fullmatch(self.pattern, path.stem) for path in self._clips(root)[:1])

    def read(self, root: Path, encoding: str | None) -> Table:
        rows, faults = [], []
        for place, path in enumerate(self._clips(root), start=1):
            if match := re.fullmatch(self.pattern, path.stem):
                said = {"path": path.relative_to(root).as_posix(), "id": path.stem}
                rows.append((root, place, said | match.groupdict("")))
            else:
                faults.append(MerError(path, "its name says nothing", allowed=f"a name such as {self.example}"))
        raise_faults(root, faults, "remove or rename these files")
        return table_of(root, rows)

    def _clips(self, root: Path) -> list[Path]:
        for glob in self.globs:
            found = [path for path in root.glob(glob) if ending_of(path.name) and path.name[0] != "."]
            if found:
                return sorted(found)
        return []
