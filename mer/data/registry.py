"""Which datasets there are, and the one function that loads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mer.data.emorynlp import EMORYNLP
from mer.data.meld import MELD
from mer.data.reader import SPLITS, Dataset, read_split
from mer.data.types import Corpus
from mer.errors import MerError, did_you_mean

DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in (MELD, EMORYNLP)}


def find_dataset(name: str) -> Dataset:
    """Raises: MerError for a name nobody registered."""
    if name not in DATASETS:
        raise MerError(
            "data.dataset",
            f"unknown dataset {name!r}.{did_you_mean(name, DATASETS)}",
            allowed=", ".join(DATASETS),
            then=f"--set data.dataset={next(iter(DATASETS))}",
        )
    return DATASETS[name]


def load_corpus(dataset: str, root: str | Path, splits: Sequence[str] = ("train", "dev")) -> Corpus:
    """Read the asked splits of a dataset. The file of a split that is not asked for is never opened.

    Args:
        dataset: a name in DATASETS; the generated sample corpus reads as "meld".
        root: folder of the CSV files.
    Raises: MerError saying file, line and the way out.
    """
    reader, folder = find_dataset(dataset), Path(root).expanduser()
    for split in splits:
        if split not in SPLITS:
            raise MerError(
                "splits",
                f"unknown split {split!r}.{did_you_mean(split, SPLITS)}",
                allowed=", ".join(SPLITS),
                then="name other splits: splits=('train', 'dev') in code, --splits train,dev on the command line",
            )
    _require_files(reader, folder, splits)
    return Corpus(
        name=reader.name,
        root=folder,
        splits={split: read_split(reader, folder, split) for split in splits},
        label_names=reader.label_names,
    )


def present_splits(dataset: str, root: str | Path) -> tuple[str, ...]:
    """The splits whose file is there."""
    reader, folder = find_dataset(dataset), Path(root).expanduser()
    return tuple(split for split in SPLITS if reader.path(folder, split).is_file())


def _require_files(dataset: Dataset, root: Path, splits: Sequence[str]) -> None:
    files = [dataset.path(root, split) for split in splits]
    if not root.is_dir():
        found = "this is a file" if root.exists() else "there is no such folder"
        names = ", ".join(file.name for file in files)
        raise MerError(root, found, allowed=f"a folder with {names}", then=dataset.advice(root))
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        there = ", ".join(sorted(file.name for file in root.glob("*.csv"))) or "none"
        raise MerError(
            root,
            f"no {', '.join(missing)}; CSV files here: {there}",
            allowed=f"a folder with {', '.join(file.name for file in files)}",
            then=dataset.advice(root),
        )
