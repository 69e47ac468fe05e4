"""The Reader protocol, and the reader of published datasets with one CSV file per split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mer.config import DataConfig
from mer.data.readers.relabelled import published_corpus
from mer.data.readers.split_files import SPLITS
from mer.data.tables import Row, parse_rows, raise_faults, read_rows
from mer.data.types import DIALOGUE, Corpus, Dialogue, Unit, Utterance
from mer.errors import MerError
from mer.files import sha256_file
from mer.places import home
from mer.terminal.commands import quoted


class Reader(Protocol):
    """Interface of a dataset's reader; the data's folder is `data.root`."""

    @property
    def name(self) -> str: ...

    @property
    def unit(self) -> Unit:
        """Unit that is independent of the others, for intervals and tests."""
        ...

    def knows(self, root: Path) -> bool:
        """Tell whether a folder looks like this dataset."""
        ...

    def present(self, data: DataConfig) -> tuple[str, ...]:
        """List the splits that can be read."""
        ...

    def read(self, data: DataConfig, splits: Sequence[str]) -> Corpus:
        """Read these splits, each with at least one dialogue; of train in any case which classes it has.

        Raises: MerError saying file, line and the way out.
        """
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
    parse: Callable[[Row, str], Utterance]
    get: str
    sha256: Mapping[str, str] = field(default_factory=dict)
    unit: Unit = DIALOGUE

    def path(self, root: Path, split: str) -> Path:
        return root / self.file_pattern.format(split=split)

    def knows(self, root: Path) -> bool:
        return any(self.path(root, split).is_file() for split in SPLITS)

    def present(self, data: DataConfig) -> tuple[str, ...]:
        root = folder_of(data)
        return tuple(split for split in SPLITS if self.path(root, split).is_file())

    def read(self, data: DataConfig, splits: Sequence[str]) -> Corpus:
        root = folder_of(data)
        self._require_files(root, splits)
        wanted = dict.fromkeys([*splits, *(["train"] if self.path(root, "train").is_file() else [])])
        found = {split: read_split(self, root, split) for split in wanted}
        return published_corpus(self.name, root, found, splits, self.label_names, data)

    def official(self, root: Path, split: str) -> bool | None:
        expected = self.sha256.get(split)
        return None if expected is None else sha256_file(self.path(root, split)) == expected

    def _require_files(self, root: Path, splits: Sequence[str]) -> None:
        files = [self.path(root, split) for split in splits]
        require_folder(root, f"a folder with {', '.join(file.name for file in files)}", self.advice(root))
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            there = ", ".join(sorted(file.name for file in root.glob("*.csv") if file.is_file())) or "none"
            raise MerError(
                root,
                f"no {', '.join(missing)}; CSV files here: {there}",
                allowed=f"a folder with {', '.join(file.name for file in files)}",
                then=self.advice(root),
            )

    def advice(self, root: Path) -> str:
        files = ", ".join(self.file_pattern.format(split=split) for split in SPLITS)
        return f"{self.get.format(root=quoted(root))}, or --set data.root=FOLDER_OR_CSV, or put {files} there by hand"


def folder_of(data: DataConfig) -> Path:
    """Return the folder of the data."""
    return home(data.root)


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

    def parse(row: Row) -> Utterance:
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
