"""A table of utterances with the meaning of its columns: every row becomes an utterance without split and classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mer.config import DataConfig
from mer.data.readers.clip_folder import table_of_clips
from mer.data.readers.columns import Roles, find_roles, other_task_column
from mer.data.readers.row_cells import clip_name, dialogue_name, row_names, speaker_name
from mer.data.readers.split_files import ALLOWED, SplitPlaces, split_of
from mer.data.readers.targets import target_columns, target_reader
from mer.data.tables import Row, Table, parse_rows, raise_faults, read_table
from mer.data.tables.row import whole_number
from mer.data.tables.times import interval_s
from mer.data.types import Utterance
from mer.errors import MerError

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


def table_at(path: Path, data: DataConfig) -> Table:
    """Read a user's file, or the names of a folder's clips. Raises: MerError."""
    table = table_of_clips(path) if path.is_dir() else read_table(path, _FIX, encoding=data.encoding)
    if table is None:
        raise MerError(path, "no table here, and the names of its clips tell no labels", allowed=ALLOWED)
    return table


def understood(path: Path, table: Table, data: DataConfig, places: SplitPlaces, *, guess: bool) -> OwnTable:
    """Understand the columns of a table. Raises: MerError."""
    if not table.rows:
        has = "a header and no rows" if table.columns else "not a word"
        raise MerError(path, f"no utterance in it: the file has {has}", then=_FIX)
    roles = find_roles(table, data.columns, data.label, target_columns(data), guess=guess)
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
    guessed = data.task == "class" and roles.guessed  # a description tells what it knows
    other = other_task_column(table, roles) if guessed else None
    read_targets = target_reader(roles, data)
    numbered = "turn" in roles and all(whole_number(roles.cell(row, "turn")) is not None for row in table.rows)
    named = row_names(table, roles)
    places_in: defaultdict[str, int] = defaultdict(int)
    lines: dict[tuple[str, int], int] = {}

    def parse(row: Row) -> Utterance:
        name = named(row)
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
            session=roles.cell(row, "session").strip(),
        )

    return parse
