"""The datasets by name, which of them a folder looks like, and the functions that load them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mer.config import DataConfig
from mer.data.folds import POOL, Folds, make_folds
from mer.data.readers.class_names import refuse_unlearnt
from mer.data.readers.corpora import DESCRIPTIONS
from mer.data.readers.csv_dataset import Reader
from mer.data.readers.emorynlp import EMORYNLP
from mer.data.readers.meld import MELD
from mer.data.readers.own import OWN, OwnReader
from mer.data.readers.ravdess import RAVDESS
from mer.data.readers.split_files import SPLITS
from mer.data.readers.split_record import split_otherwise
from mer.data.tables import ENDINGS
from mer.data.types import Corpus, Unit
from mer.errors import MerError, did_you_mean
from mer.places import home

_DESCRIBED = {description.name: OwnReader(description) for description in DESCRIPTIONS}
_READERS: tuple[Reader, ...] = (MELD, EMORYNLP, RAVDESS, OWN, *_DESCRIBED.values())
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


def detect_dataset(root: str | Path) -> str:
    """Name the dataset that a folder looks like: a published one by its files, else csv.

    A folder that is not there or has no table counts as MELD, whose reader says how to get it. A file counts as csv,
    also if it is of a kind that is not read, or not there.
    """
    folder = home(root)
    if not folder.is_dir():
        return OWN.name if folder.is_file() or folder.suffix.lower() in ENDINGS else MELD.name
    told: list[Reader] = [_DESCRIBED[description.name] for description in DESCRIPTIONS if description.is_told]
    readers: list[Reader] = [MELD, EMORYNLP, RAVDESS, *told]
    known = (reader.name for reader in readers if reader.knows(folder))
    return next(known, OWN.name if OWN.knows(folder) else MELD.name)


def known_range(dataset: str) -> tuple[float, float] | None:
    """Return the range of a published corpus's scores; None where none is known."""
    reader = DATASETS.get(dataset)
    described = reader.description if isinstance(reader, OwnReader) else None
    return described.range if described else None


def looks_otherwise(dataset: str, root: str | Path) -> bool:
    """Tell whether a folder does not look like a dataset, but like another one."""
    folder = home(root)
    if dataset not in DATASETS or DATASETS[dataset].knows(folder):
        return False
    return any(reader.knows(folder) for reader in _READERS) or detect_dataset(root) == OWN.name


def open_corpus(data: DataConfig, splits: Sequence[str] = ("train", "dev")) -> Corpus:
    """Read the asked splits. Where each split has a file of its own, of the others only train is opened, for the names
    of the classes.

    With `data.folds` every split that is asked for holds all utterances: `folds_of` divides them.

    Raises: MerError saying file, line and the way out; also for labels that train does not have.
    """
    corpus = _read(data, splits) if data.folds is None else _pooled(data, splits)
    for split in splits if corpus.kind == "class" and data.label in corpus.label_names else ():
        counts = Counter(getattr(utterance, data.label) for utterance in corpus.utterances(split))
        otherwise = split_otherwise(corpus.made) if corpus.made else ""
        refuse_unlearnt(counts, corpus.label_names[data.label], split, corpus.root, otherwise)
    return corpus


def folds_of(data: DataConfig) -> Folds | None:
    """Divide the utterances as `data.folds` says; None without it. Raises: MerError, also as `open_corpus`."""
    if data.folds is None:
        return None
    return make_folds(open_corpus(data, (POOL,)), data.folds, data.label)


def _pooled(data: DataConfig, splits: Sequence[str]) -> Corpus:
    """Read all splits of the data as one, under the names that are asked for. Ids keep the names of the data."""
    alone = data.model_copy(update={"folds": None})
    there = present_splits(alone)
    corpus = _read(alone, there or ("train",))
    every = tuple(dialogue for split in there for dialogue in corpus.dialogues(split))
    return replace(corpus, splits=dict.fromkeys(splits, every), made=None)


def survey_corpus(data: DataConfig, splits: Sequence[str]) -> Corpus:
    """`open_corpus` for a look at the data: labels that train does not have are classes too, after those of train."""
    corpus = _read(data, splits) if data.folds is None else _pooled(data, splits)
    if corpus.kind != "class":
        return corpus
    names = {}
    for task, known in corpus.label_names.items():
        found = {getattr(u, task) for split in splits for u in corpus.utterances(split)}
        names[task] = (*known, *sorted(found - {*known, "", None}))
    return replace(corpus, label_names=names)


def _read(data: DataConfig, splits: Sequence[str]) -> Corpus:
    for split in splits:
        if split not in SPLITS:
            raise MerError(
                "splits",
                f"unknown split {split!r}.{did_you_mean(split, SPLITS)}",
                allowed=", ".join(SPLITS),
                then="name other splits: splits=('train', 'dev') in code, --splits train,dev on the command line",
            )
    corpus = find_dataset(data.dataset).read(data, splits)
    if corpus.kind != data.task:  # a reader that knows classes alone
        raise MerError(
            "data.task",
            f"{corpus.name} has classes alone: nothing of it is read for data.task {data.task}",
            allowed=f"class with data.dataset {data.dataset}; {data.task} with data.dataset csv",
            then="read its table as your own: --set data.dataset=csv --set data.root=FILE.csv",
        )
    return corpus


def load_corpus(dataset: str, root: str | Path, splits: Sequence[str] = ("train", "dev")) -> Corpus:
    """`open_corpus` for a dataset that needs no other settings; the generated sample corpus reads as "meld"."""
    find_dataset(dataset)
    return open_corpus(DataConfig(dataset=dataset, root=str(root)), splits)


def present_splits(data: DataConfig) -> tuple[str, ...]:
    """List the splits that the data have."""
    return find_dataset(data.dataset).present(data)


def unit_of(data: DataConfig, split: str) -> Unit:
    """Return what is independent in a split: what a reader says of its dataset; of tables dialogues, or where every
    turn stands alone and has a speaker, speakers."""
    if (folds := folds_of(data)) is not None:
        return folds.unit
    reader = find_dataset(data.dataset)
    if not isinstance(reader, OwnReader):
        return reader.unit
    corpus = open_corpus(data, (split,))
    speaker = {utterance.id: utterance.speaker for utterance in corpus.utterances(split)}
    alone = all(len(dialogue.utterances) == 1 for dialogue in corpus.dialogues(split))
    several = len(set(speaker.values())) > 1 and all(speaker.values())
    return Unit("speaker", speaker.__getitem__) if alone and several else reader.unit
