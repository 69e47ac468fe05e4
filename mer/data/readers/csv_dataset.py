"""The Reader protocol, and the reader of datasets with one CSV file per split."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mer.data.readers.csv_rows import CsvRow, parse_rows, raise_faults, read_rows
from mer.data.types import DIALOGUE, Dialogue, Unit, Utterance
from mer.errors import MerError
from mer.files import sha256_file

SPLITS = ("train", "dev", "test")

# H:MM:SS,mmm and HH:MM:SS.mmm; a short fraction (00:06:47,28) is read as a decimal one.
_TIME = re.compile(r"(\d{1,2}):([0-5]?\d):([0-5]?\d)(?:[.,](\d{1,6}))?", re.ASCII)


class Reader(Protocol):
    """Interface of a dataset's reader. `root` is the folder of `data.root`."""

    @property
    def name(self) -> str: ...

    @property
    def label_names(self) -> Mapping[str, tuple[str, ...]]:
        """Task -> label names in the order of their numbers."""
        ...

    @property
    def unit(self) -> Unit:
        """Unit that is independent of the others, for intervals and tests."""
        ...

    def present(self, root: Path) -> tuple[str, ...]:
        """List the splits that can be read."""
        ...

    def read(self, root: Path, splits: Sequence[str]) -> dict[str, tuple[Dialogue, ...]]:
        """Read these splits, each with at least one dialogue. Raises: MerError saying file, line and the way out."""
        ...

    def official(self, root: Path, split: str) -> bool | None:
        """Compare the split with the published one, byte for byte; None if that one's hash is not known."""
        ...


@dataclass(frozen=True, slots=True)
class Dataset:
    """Reader of one CSV file per split. The file of a split that is not asked for is never opened.

    Attributes:
        file_pattern: file name of a split, with "{split}" in it.
        columns: columns that the reader uses; others are ignored.
        parse: row and split -> utterance; raises MerError.
        get: what to do if the files are missing or wrong, in words; "{root}" is the folder.
        sha256: split -> hash of its official file, if known.
        unit: what of it is independent.
    """

    name: str
    file_pattern: str
    columns: tuple[str, ...]
    label_names: Mapping[str, tuple[str, ...]]
    parse: Callable[[CsvRow, str], Utterance]
    get: str
    sha256: Mapping[str, str] = field(default_factory=dict)
    unit: Unit = DIALOGUE

    def path(self, root: Path, split: str) -> Path:
        return root / self.file_pattern.format(split=split)

    def present(self, root: Path) -> tuple[str, ...]:
        return tuple(split for split in SPLITS if self.path(root, split).is_file())

    def read(self, root: Path, splits: Sequence[str]) -> dict[str, tuple[Dialogue, ...]]:
        self._require_files(root, splits)
        return {split: read_split(self, root, split) for split in splits}

    def official(self, root: Path, split: str) -> bool | None:
        expected = self.sha256.get(split)
        return None if expected is None else sha256_file(self.path(root, split)) == expected

    def _require_files(self, root: Path, splits: Sequence[str]) -> None:
        files = [self.path(root, split) for split in splits]
        require_folder(root, f"a folder with {', '.join(file.name for file in files)}", self.advice(root))
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            there = ", ".join(sorted(file.name for file in root.glob("*.csv"))) or "none"
            raise MerError(
                root,
                f"no {', '.join(missing)}; CSV files here: {there}",
                allowed=f"a folder with {', '.join(file.name for file in files)}",
                then=self.advice(root),
            )

    def advice(self, root: Path) -> str:
        files = ", ".join(self.file_pattern.format(split=split) for split in SPLITS)
        return f"{self.get.format(root=root)}, or --set data.root=FOLDER, or put {files} there by hand"


def require_folder(root: Path, allowed: str, then: str) -> None:
    """Raise MerError if `root` does not exist, or is not a folder."""
    if not root.is_dir():
        found = "this is a file" if root.exists() else "there is no such folder"
        raise MerError(root, found, allowed=allowed, then=then)


def read_split(dataset: Dataset, root: Path, split: str) -> tuple[Dialogue, ...]:
    """Read a split: dialogues in the order in which the file first names them, utterances by number.

    Raises: MerError or Faults, naming file and line, if anything is wrong with the file.
    """
    path, advice = dataset.path(root, split), dataset.advice(root)
    first_line: dict[str, int] = {}

    def parse(row: CsvRow) -> Utterance:
        utterance = dataset.parse(row, split)
        if utterance.id in first_line:
            raise row.fault(
                f"{utterance.dialogue} utterance {utterance.number} is there twice",
                f"each utterance once; line {first_line[utterance.id]} has it already",
            )
        first_line[utterance.id] = row.line
        return utterance

    utterances, faults = parse_rows(read_rows(path, dataset.columns, advice), parse)
    raise_faults(path, faults, f"correct the file, or {advice}")
    turns: defaultdict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        turns[utterance.dialogue].append(utterance)
    return tuple(Dialogue(f"{split}/{name}", tuple(sorted(t, key=lambda u: u.number))) for name, t in turns.items())


def interval_s(start: str, end: str) -> tuple[float | None, float | None]:
    """Read start and end in seconds; None for a time that cannot be read, and for an end not after its start."""
    start_s, end_s = seconds(start), seconds(end)
    if start_s is not None and end_s is not None and end_s <= start_s:
        return start_s, None
    return start_s, end_s


def seconds(time: str) -> float | None:
    """Read "0:06:47,280" or "00:06:47.280" as seconds; None for other text: a bad time is not an error."""
    match = _TIME.fullmatch(time.strip())
    if match is None:
        return None
    hours, minutes, whole, fraction = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(f"{whole}.{fraction or 0}")
