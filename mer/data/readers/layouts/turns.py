"""A text file with a dialogue in each line, its turns ended by a mark, and beside it a file of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mer.data.readers.layouts.layout import lines_of, table_of
from mer.data.tables import Table, raise_faults
from mer.errors import MerError

_PREFIXES = ("", "*/", "*/*/")  # an archive is unpacked with its outer folder or without, and so are those in it


@dataclass(frozen=True)
class Turns:
    """Cells: split, dialogue (split and number of the line, from 1), turn (from 0), speaker (of two), text, label.

    Args:
        files: split -> file of texts and file of labels; they may lie up to two folders deeper.
        end: mark after each turn.
    """

    files: Mapping[str, tuple[str, str]]
    end: str

    @property
    def wants(self) -> str:
        return ", ".join(name for pair in self.files.values() for name in pair)

    def knows(self, root: Path) -> bool:
        return any(_found(root, texts) for texts, _ in self.files.values())

    def read(self, root: Path, encoding: str | None) -> Table:
        rows, faults = [], list[MerError]()
        for split, (texts, labels) in self.files.items():
            path = _found(root, texts)
            if path is None:
                continue
            beside = path.with_name(Path(labels).name)
            if not beside.is_file():
                raise MerError(beside, "there is no such file", allowed=self.wants, then="unpack the archive again")
            said, told = (list(filter(str.strip, lines_of(file, encoding))) for file in (path, beside))
            if len(said) != len(told):
                raise MerError(path, f"has {len(said)} dialogues, {beside.name} has {len(told)}", allowed="as many")
            for number, (line, marks) in enumerate(zip(said, told, strict=True), start=1):
                turns = [turn.strip() for turn in line.split(self.end)[:-1]]
                if len(turns) != len(marks.split()):
                    found = f"{len(turns)} turns, {len(marks.split())} labels in {beside.name}"
                    faults.append(MerError(f"{path}:{number}", found, allowed="as many"))
                    continue
                rows += [
                    (path, number, _cells(split, number, turn, text, label))
                    for turn, (text, label) in enumerate(zip(turns, marks.split(), strict=True))
                ]
        raise_faults(root, faults, "put the published files there")
        return table_of(root, rows)


def _cells(split: str, number: int, turn: int, text: str, label: str) -> dict[str, str]:
    dialogue = f"{split}{number}"
    speaker = f"{dialogue}-{'AB'[turn % 2]}"  # two people, of whom nothing else is known
    return {"split": split, "dialogue": dialogue, "turn": str(turn), "speaker": speaker, "text": text, "label": label}


def _found(root: Path, name: str) -> Path | None:
    """Return the file, from the folder or up to two folders deeper."""
    for prefix in _PREFIXES:
        if found := sorted(path for path in root.glob(f"{prefix}{name}") if path.is_file()):
            return found[0]
    return None
