"""A user's own corpus: any CSV, TSV or JSON lines, in one file or a file per split (`data.dataset: csv`)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.config import DataConfig
from mer.data.readers.class_names import class_names, label_reader, refuse_too_few
from mer.data.readers.clip_folder import table_of_clips
from mer.data.readers.columns import Roles, find_roles, other_task_column
from mer.data.readers.made_splits import ADVICE, Splittable, assign
from mer.data.readers.row_cells import clip_name, dialogue_name, row_names, speaker_name
from mer.data.readers.split_files import ALLOWED, SPLITS, SplitPlaces, find_places, split_of, table_files
from mer.data.readers.split_record import split_otherwise
from mer.data.readers.targets import target_columns, target_reader, with_targets
from mer.data.tables import ENDINGS, Row, Table, parse_rows, raise_faults, read_table
from mer.data.tables.row import whole_number
from mer.data.tables.times import interval_s
from mer.data.types import DIALOGUE, Corpus, Dialogue, MadeSplits, Utterance
from mer.errors import MerError
from mer.places import home

_FIX = "correct the file"
TASKS = ("emotion", "sentiment")


@dataclass(frozen=True)
class OwnTable:
    """A file of a user's corpus with the meaning of its columns.

    Args:
        splits: split of each row; None where the file does not tell.
        other: column of the task that is not predicted.
        named: each row has a name of its own, beside its place in the file.
    """

    table: Table
    roles: Roles
    splits: tuple[str | None, ...]
    utterances: tuple[Utterance, ...]
    named: bool


class OwnReader:
    """Reader of a user's corpus (see `mer.data.readers.csv_dataset.Reader`)."""

    name = "csv"
    unit = DIALOGUE

    def knows(self, root: Path) -> bool:
        """Tell whether there is a table to read."""
        if root.is_file():
            return root.suffix.lower() in ENDINGS
        return root.is_dir() and (bool(table_files(root)) or table_of_clips(root) is not None)

    def present(self, data: DataConfig) -> tuple[str, ...]:
        """List the splits that can be read. Raises: MerError if the files cannot."""
        root = home(data.root)
        places = find_places(root, data)
        first = places.whole or places.files["train"]
        own = _open(first, data, places)
        there = {*places.files} if not places.whole else {split or "train" for split in own.splits}
        return tuple(split for split in SPLITS if split in there | set(_split_rows(own, places, data)[0]))

    def read(self, data: DataConfig, splits: Sequence[str]) -> Corpus:
        """Read these splits. Train is always read: it says which classes there are. Raises: MerError."""
        root = home(data.root)
        places = find_places(root, data)
        first = _open(places.whole or places.files["train"], data, places)
        found, made = _split_rows(first, places, data)
        opened = {"train": first}
        for split in splits:
            if split in places.files and split != "train":
                opened[split] = _open(places.files[split], data, places)
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
            notes=tuple(_notes(opened, found, made)),
            made=made,
            links="anywhere" if first.table.path.is_dir() else "inside",  # without a table, nobody names a path
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
            notes=tuple(_notes(opened, found, made)),
            made=made,
            links="anywhere" if first.table.path.is_dir() else "inside",
            kind=data.task,
        )

    def official(self, root: Path, split: str) -> bool | None:
        return None


OWN = OwnReader()


def _open(path: Path, data: DataConfig, places: SplitPlaces) -> OwnTable:
    """Read a file and understand its columns. Raises: MerError."""
    table = table_of_clips(path) if path.is_dir() else read_table(path, _FIX, encoding=data.encoding)
    if table is None:
        raise MerError(path, "no table here, and the names of its clips tell no labels", allowed=ALLOWED)
    if not table.rows:
        has = "a header and no rows" if table.columns else "not a word"
        raise MerError(path, f"no utterance in it: the file has {has}", then=_FIX)
    roles = find_roles(table, data.columns, data.label, target_columns(data))
    if not {"text", "audio", "video"} & set(roles.named):
        raise MerError(
            f"{path}:1",
            f"which column is the text is not clear; the header has {', '.join(table.columns)}",
            allowed="a column text (utterance, sentence, transcript), or one of paths (audio, video)",
            then="name it: --set data.columns.text=COLUMN",
        )
    if "label" not in roles and not data.targets:
        raise MerError(
            f"{path}:1",
            f"which column is the label is not clear; the header has {', '.join(table.columns)}",
            allowed="a column label (emotion, sentiment, class)",
            then="name it: --set data.columns.label=COLUMN",
        )
    splits, faults = _splits(table, roles, places)
    utterances, more = parse_rows(table.rows, _parser(table, roles, data, places))
    raise_faults(path, [*faults, *more], _FIX)
    named = "id" in roles or "audio" in roles or "dialogue" in roles
    return OwnTable(table, roles, tuple(splits), tuple(utterances), named)


def _splits(table: Table, roles: Roles, places: SplitPlaces) -> tuple[list[str | None], list[MerError]]:
    """Read the split of each row, where one file has all rows and a column tells."""
    if places.whole is None or "split" not in roles:
        return [None] * len(table.rows), []
    cells = [roles.cell(row, "split") for row in table.rows]
    faults = [
        row.fault(f"{roles.column('split')} is {cell!r}", "train, dev (valid) or test")
        for row, cell in zip(table.rows, cells, strict=True)
        if split_of(cell) is None
    ]
    return [split_of(cell) for cell in cells], faults


def _parser(table: Table, roles: Roles, data: DataConfig, places: SplitPlaces) -> Callable[[Row], Utterance]:
    """Make the function that reads a row. Splits and classes are decided later, for all rows together."""
    other = other_task_column(table, roles) if data.task == "class" else None
    read_targets = target_reader(roles, data)
    numbered = "turn" in roles and all(whole_number(roles.cell(row, "turn")) is not None for row in table.rows)
    names = row_names(table, roles)
    places_in: defaultdict[str, int] = defaultdict(int)
    lines: dict[tuple[str, int], int] = {}

    def parse(row: Row) -> Utterance:
        name = names[row.line]
        dialogue = dialogue_name(row, roles) or name
        number = whole_number(roles.cell(row, "turn")) if numbered else places_in[dialogue]
        if "dialogue" not in roles:
            number = 0
        assert number is not None
        places_in[dialogue] += 1
        if (dialogue, number) in lines:
            what = f"{dialogue} utterance {number}" if "dialogue" in roles else dialogue
            raise row.fault(
                f"{what} is there twice", f"each utterance once; line {lines[dialogue, number]} has it already"
            )
        lines[dialogue, number] = row.line
        labels: dict[str, str] = {data.label: roles.cell(row, "label")}
        if other is not None:
            labels[next(task for task in TASKS if task != data.label)] = row.text(other)
        start_s, end_s = interval_s(roles.cell(row, "start"), roles.cell(row, "end"))
        return Utterance(
            split="",
            dialogue=dialogue,
            number=number,
            speaker=speaker_name(row, roles),
            text=roles.cell(row, "text"),
            emotion=labels.get("emotion", ""),
            sentiment=labels.get("sentiment"),
            start_s=start_s,
            end_s=end_s,
            audio=clip_name(roles.cell(row, "audio"), places.folder),
            video=clip_name(roles.cell(row, "video"), places.folder),
            name=name if "id" in roles else "",
            targets=read_targets(row),
        )

    return parse


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
    return (getattr(utterance, data.label) or "").strip().casefold()


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
    opened: Mapping[str, OwnTable], found: Mapping[str, Sequence[Utterance]], made: MadeSplits | None
) -> list[str]:
    """Say what was guessed and made, a line each."""
    lines = []
    for own in {id(own): own for own in opened.values()}.values():
        unusual = f"; {', '.join(own.table.unusual)}" if own.table.unusual else ""
        lines.append(f"{own.table.path.name}: {own.roles.words}{unusual}")
    if made is not None:
        sizes = ", ".join(f"{split} {len(found[split])}" for split in SPLITS if split in found)
        lines.append(
            f"splits by {made.content['by']}: {sizes} rows, {'' if made.kept else 'to be '}kept in {made.path}"
        )
    return lines
