"""A JSON file of nested objects: recordings, in them dialogues, in them utterances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mer.data.readers.layouts.layout import lines_of, table_of
from mer.data.tables import Table
from mer.errors import MerError
from mer.read_files import as_object, read_object

_LARGEST_BYTES = 2**28
_FIX = "put the published file there"


@dataclass(frozen=True)
class Tree:
    """Utterances below keys. Cells are those keys, the values of an utterance, and those beside its dialogue's
    utterances, by their dotted path: "EmoAnnotation.final_main_emo".

    Args:
        file: its name.
        levels: what the keys from the top are: ("show", "dialogue").
        inside: key of a dialogue that holds its utterances, by their ids.
        listed: split -> file with the keys of the first level that belong to it, one a line.
    """

    file: str
    levels: tuple[str, str]
    inside: str
    listed: Mapping[str, str] = field(default_factory=dict)

    @property
    def wants(self) -> str:
        return f"{self.file} (and {', '.join(self.listed.values())})" if self.listed else self.file

    def knows(self, root: Path) -> bool:
        return (root / self.file).is_file()

    def read(self, root: Path, encoding: str | None) -> Table:
        path, split_of = root / self.file, self._splits(root, encoding)
        try:
            tree = read_object(path, then=_FIX, largest=_LARGEST_BYTES)
        except OSError as fault:
            raise MerError(path, f"cannot be read: {fault.strerror}") from fault
        rows: list[tuple[Path, int, dict[str, str]]] = []
        for cells in self._cells(tree, path):
            first = cells[self.levels[0]]
            if split_of and first not in split_of:
                raise MerError(
                    path, f"{first} is in no split", allowed=f"a line in one of {', '.join(self.listed.values())}"
                )
            rows.append((path, len(rows) + 1, cells | ({"split": split_of[first]} if split_of else {})))
        if not rows:
            raise MerError(path, "has no utterance", then=_FIX)
        return table_of(path, rows)

    def _cells(self, tree: Mapping[str, Any], path: Path) -> Iterator[dict[str, str]]:
        for outer, dialogues in tree.items():
            for name, dialogue in as_object(dialogues, f"{path}: {outer}", then=_FIX).items():
                where = f"{path}: {outer}.{name}"
                about = as_object(dialogue, where, then=_FIX)
                utterances = as_object(about.get(self.inside), f"{where}.{self.inside}", then=_FIX)
                keys = {self.levels[0]: outer, self.levels[1]: name}
                beside = _flat({key: value for key, value in about.items() if key != self.inside})
                for identity, said in utterances.items():
                    yield {**beside, **_flat(as_object(said, f"{where}.{identity}", then=_FIX)), **keys, "id": identity}

    def _splits(self, root: Path, encoding: str | None) -> dict[str, str]:
        """Return the split of each key of the first level; {} without the files that say it."""
        there = {split: root / name for split, name in self.listed.items() if (root / name).is_file()}
        return {
            line.strip(): split for split, path in there.items() for line in lines_of(path, encoding) if line.strip()
        }


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Write nested values as cells by their dotted paths; lists are left out."""
    cells: dict[str, str] = {}
    for key, part in value.items():
        if isinstance(part, dict):
            cells |= _flat(part, f"{prefix}{key}.")
        elif not isinstance(part, list):
            cells[f"{prefix}{key}"] = "" if part is None else str(part)
    return cells
