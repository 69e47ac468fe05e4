"""The datasets by name, and the function that loads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mer.data.readers.csv_dataset import SPLITS, Reader
from mer.data.readers.emorynlp import EMORYNLP
from mer.data.readers.meld import MELD
from mer.data.readers.ravdess import RAVDESS
from mer.data.types import Corpus
from mer.errors import MerError, did_you_mean

_READERS: tuple[Reader, ...] = (MELD, EMORYNLP, RAVDESS)
DATASETS: dict[str, Reader] = {reader.name: reader for reader in _READERS}


def find_dataset(name: str) -> Reader:
    """Return the reader of a dataset. Raises: MerError for an unknown name."""
    if name not in DATASETS:
        raise MerError(
            "data.dataset",
            f"unknown dataset {name!r}.{did_you_mean(name, DATASETS)}",
            allowed=", ".join(DATASETS),
            then=f"--set data.dataset={next(iter(DATASETS))}",
        )
    return DATASETS[name]


def load_corpus(dataset: str, root: str | Path, splits: Sequence[str] = ("train", "dev")) -> Corpus:
    """Read the asked splits of a dataset. If each split has a file of its own, no other file is opened.

    Args:
        dataset: a name in DATASETS; the generated sample corpus reads as "meld".
        root: folder of the data, as the dataset's reader describes it.
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
    return Corpus(name=reader.name, root=folder, splits=reader.read(folder, splits), label_names=reader.label_names)


def present_splits(dataset: str, root: str | Path) -> tuple[str, ...]:
    """List the splits that the folder has."""
    return find_dataset(dataset).present(Path(root).expanduser())
