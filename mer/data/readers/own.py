"""A user's own corpus: any CSV, TSV or JSON lines, in one file or a file per split (`data.dataset: csv`).

With a description the same reader reads a published corpus, whose files and columns are known.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mer.config import DataConfig
from mer.data.readers.class_names import class_names, label_reader, refuse_too_few
from mer.data.readers.clip_folder import table_of_clips
from mer.data.readers.description import Description
from mer.data.readers.made_splits import ADVICE, Splittable, assign
from mer.data.readers.own_table import TASKS, OwnTable, table_at, understood
from mer.data.readers.split_files import SPLITS, SplitPlaces, find_places, table_files
from mer.data.readers.split_record import split_otherwise
from mer.data.readers.targets import with_targets
from mer.data.tables import ENDINGS
from mer.data.types import DIALOGUE, Corpus, Dialogue, MadeSplits, Utterance
from mer.errors import MerError
from mer.places import home


class OwnReader:
    """Reader of a user's corpus (see `mer.data.readers.csv_dataset.Reader`).

    Args: description: of a published corpus; None: columns are named or guessed.
    """

    unit = DIALOGUE

    def __init__(self, description: Description | None = None) -> None:
        self.description = description
        self.name = description.name if description else "csv"

    def knows(self, root: Path) -> bool:
        """Tell whether there is a table to read."""
        if self.description:
            return self.description.layout(root) is not None
        if root.is_file():
            return root.suffix.lower() in ENDINGS
        return root.is_dir() and (bool(table_files(root)) or table_of_clips(root) is not None)

    def present(self, data: DataConfig) -> tuple[str, ...]:
        """List the splits that can be read. Raises: MerError if the files cannot."""
        places = self._places(data)
        first = places.whole or places.files["train"]
        own, data = self._open(first, data, places)
        there = {*places.files} if not places.whole else {split or "train" for split in own.splits}
        return tuple(split for split in SPLITS if split in there | set(_split_rows(own, places, data)[0]))

    def read(self, data: DataConfig, splits: Sequence[str]) -> Corpus:
        """Read these splits. Train is always read: it says which classes there are. Raises: MerError."""
        places = self._places(data)
        first, data = self._open(places.whole or places.files["train"], data, places)
        found, made = _split_rows(first, places, data)
        if self.description and data.task == "class":
            data = self.description.ordered(data, (_label_as_is(u, data) for u in found.get("train", ())))
        opened = {"train": first}
        for split in splits:
            if split in places.files and split != "train":
                opened[split], _ = self._open(places.files[split], data, places)
                found[split] = list(opened[split].utterances)
            elif split not in found:
                raise _no_split(split, first, places)
        if data.task != "class":
            return self._of_targets(data, splits, places, found, opened, made)
        read_label = {task: label_reader((getattr(u, task) or "" for u in found["train"]), data) for task in TASKS}
        labelled = {
            split: [_labelled(u, split, read_label, data) for u in found[split]] for split in {"train", *splits}
        }
        names = _class_names(labelled["train"], first, data, made)
        return Corpus(
            name=data.corpus_name,
            dataset=self.name,
            root=places.folder,
            splits={split: _dialogues(split, labelled[split]) for split in splits},
            label_names=names,
            notes=tuple(_notes(opened, found, made, told=self.description is None)),
            made=made,
            # without a table, nobody names a path; a description does, of a layout that its owner may link to
            links="anywhere" if first.table.path.is_dir() or self.description else "inside",
        )

    def _of_targets(
        self,
        data: DataConfig,
        splits: Sequence[str],
        places: SplitPlaces,
        found: Mapping[str, Sequence[Utterance]],
        opened: Mapping[str, OwnTable],
        made: MadeSplits | None,
    ) -> Corpus:
        """Make the corpus of numbers or of several labels."""
        first, otherwise = opened["train"], split_otherwise(made) if made else ""
        wanted = {split: found[split] for split in dict.fromkeys(["train", *splits])}
        told, names = with_targets(wanted, data, first.table.path, first.roles.column("label"), otherwise)
        return Corpus(
            name=data.corpus_name,
            dataset=self.name,
            root=places.folder,
            splits={split: _dialogues(split, told[split]) for split in splits},
            label_names={data.label: names},
            notes=tuple(_notes(opened, found, made, told=self.description is None)),
            made=made,
            links="anywhere" if first.table.path.is_dir() or self.description else "inside",
            kind=data.task,
        )

    def _places(self, data: DataConfig) -> SplitPlaces:
        root = home(data.root)
        return SplitPlaces(root, {}, root) if self.description else find_places(root, data)

    def _open(self, path: Path, data: DataConfig, places: SplitPlaces) -> tuple[OwnTable, DataConfig]:
        """Read a file and understand its columns; with what a description knows of the data. Raises: MerError."""
        if self.description is None:
            return understood(path, table_at(path, data), data, places, guess=True), data
        table = self.description.table(path, data.encoding)
        data = self.description.completed(data, table)
        return understood(path, table, data, places, guess=False), data

    def official(self, root: Path, split: str) -> bool | None:
        return None


OWN = OwnReader()


def _split_rows(
    first: OwnTable, places: SplitPlaces, data: DataConfig
) -> tuple[dict[str, list[Utterance]], MadeSplits | None]:
    """Divide the rows of the first file by split: as its column says, else as `data.split` makes them."""
    made = None
    told: list[str] = [split or "train" for split in first.splits]
    lacking = [split for split in ("dev", "test") if split not in told and split not in places.files]
    if lacking:
        candidates = [place for place, split in enumerate(told) if split == "train"]
        has_dialogues = "dialogue" in first.roles
        rows = [
            Splittable(u.speaker, u.dialogue if has_dialogues else "", f"{u.dialogue}#{u.number}", _label_of(u, data))
            for u in (first.utterances[place] for place in candidates)
        ]
        drawn, made = assign(rows, lacking, data.split, first.table.path, numbered=not first.named)
        for place, split in zip(candidates, drawn, strict=True):
            told[place] = split
    found: dict[str, list[Utterance]] = {}
    for utterance, split in zip(first.utterances, told, strict=True):
        found.setdefault(split, []).append(utterance)
    return found, made


def _label_of(utterance: Utterance, data: DataConfig) -> str:
    """Return the label by which rows are divided evenly; "" where rows have no class."""
    if data.task != "class":
        return ""
    return _label_as_is(utterance, data).strip().casefold()


def _label_as_is(utterance: Utterance, data: DataConfig) -> str:
    return getattr(utterance, data.label) or ""


def _labelled(
    utterance: Utterance, split: str, read: Mapping[str, Callable[[str], str]], data: DataConfig
) -> Utterance:
    """Give an utterance its split and the names of its classes; one of no class in `data.labels` has none."""
    labels = {task: read[task](value) for task in TASKS if (value := getattr(utterance, task)) is not None}
    if data.labels and labels.get(data.label) not in data.labels:
        labels[data.label] = ""
    return utterance.changed(split=split, **labels)


def _class_names(
    train: Sequence[Utterance], first: OwnTable, data: DataConfig, made: MadeSplits | None
) -> dict[str, tuple[str, ...]]:
    """Return task -> classes; a task of which train has fewer than two is left out, unless it is predicted."""
    names: dict[str, tuple[str, ...]] = {}
    for task in TASKS:
        counts = Counter(label for u in train if (label := getattr(u, task)))
        if task == data.label:
            names[task] = class_names(counts, data)
            several = len({_label_of(u, data) for u in first.utterances} - {""}) > 1
            refuse_too_few(names[task], first.table.path, split_otherwise(made) if made and several else "")
        elif len(counts) > 1:
            names[task] = class_names(counts, DataConfig())
    return names


def _dialogues(split: str, utterances: Sequence[Utterance]) -> tuple[Dialogue, ...]:
    turns: defaultdict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        turns[utterance.dialogue].append(utterance)
    return tuple(Dialogue(f"{split}/{name}", tuple(sorted(t, key=lambda u: u.number))) for name, t in turns.items())


def _no_split(split: str, first: OwnTable, places: SplitPlaces) -> MerError:
    """Say that a split is not there, and how to make it."""
    where = places.folder if places.files else first.table.path
    there = ", ".join(places.files) or ", ".join(dict.fromkeys(s for s in first.splits if s)) or "no column of splits"
    then = ADVICE if split == "dev" else f"to make one: --set data.split.{split}=0.1"
    return MerError(where, f"there is no {split} split ({there})", allowed="a file or a column that says it", then=then)


def _notes(
    opened: Mapping[str, OwnTable], found: Mapping[str, Sequence[Utterance]], made: MadeSplits | None, *, told: bool
) -> list[str]:
    """Say what was guessed and made, a line each.

    Args: told: which column was taken for what is worth a line.
    """
    lines = []
    for own in {id(own): own for own in opened.values()}.values() if told else ():
        unusual = f"; {', '.join(own.table.unusual)}" if own.table.unusual else ""
        lines.append(f"{own.table.path.name}: {own.roles.words}{unusual}")
    if made is not None:
        sizes = ", ".join(f"{split} {len(found[split])}" for split in SPLITS if split in found)
        lines.append(
            f"splits by {made.content['by']}: {sizes} rows, {'' if made.kept else 'to be '}kept in {made.path}"
        )
    return lines
