"""What a row says where something else than one class is predicted: numbers, or any number of labels (`data.task`)."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from mer.config import DataConfig
from mer.data.readers.class_names import class_names, label_reader, refuse_unlearnt
from mer.data.readers.columns import Roles
from mer.data.tables import Row, Table
from mer.data.tables.row import names_in, shortened
from mer.data.types import Utterance
from mer.errors import MerError

MISSING = math.nan
_NOTHING = frozenset({"", "nan", "na", "n/a", "none", "null", "-"})
_YES, _NO = frozenset({"true", "yes", "x"}), frozenset({"false", "no"})
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_SEPARATORS = re.compile(r"[;|,]")


def target_columns(data: DataConfig) -> tuple[str, ...]:
    """List the columns that `data.targets` names."""
    return tuple(column for _, column in data.targets)


def target_reader(roles: Roles, data: DataConfig) -> Callable[[Row], tuple[float, ...]]:
    """Make the function that reads the numbers of a row, or 1 and 0 of a column for each label.

    Where several labels stand in one cell, it reads nothing: their names are known when train has been read.
    """
    if data.task == "class" or (data.task == "multilabel" and not data.targets):
        return lambda row: ()
    if data.task == "multilabel":
        return lambda row: tuple(_is_there(row, column) for column in target_columns(data))
    number = number_reader(data)
    if data.targets:
        return lambda row: tuple(number(row, column, row.text(column)) for column in target_columns(data))
    return lambda row: (number(row, roles.column("label"), roles.cell(row, "label")),)


def number_reader(data: DataConfig) -> Callable[[Row, str, str], float]:
    """Make the function that reads a cell as a number, or one of `data.levels`; NaN where it says nothing.

    It takes the row, the name of the column for messages, and the cell. Raises: MerError naming file and line.
    """
    levels = {_folded(word): value for word, value in data.levels}
    words = ", ".join(word for word, _ in data.levels)
    allowed = f"{words} (data.levels), a number, or nothing" if words else "a number, or nothing"

    def read(row: Row, column: str, cell: str) -> float:
        said = _folded(cell)
        if said in levels:
            return levels[said]
        if said in _NOTHING:
            return MISSING
        if not _NUMBER.fullmatch(said):
            hint = "" if words else "; words that stand for numbers: data.levels, {normal: 1, strong: 2}"
            raise row.fault(f"{column} is {shortened(cell.strip())}", allowed + hint)
        value = float(said.replace(",", "."))
        if not math.isfinite(value) or abs(value) > 1e30:
            raise row.fault(f"{column} is {shortened(cell.strip())}", "a number that single precision can hold")
        if data.range is not None and not data.range[0] <= value <= data.range[1]:
            raise row.fault(f"{column} is {value:g}", f"from {data.range[0]:g} to {data.range[1]:g} (data.range)")
        return value

    return read


def lenient_reader(
    table: Table, roles: Roles, data: DataConfig, names: Sequence[str]
) -> Callable[[Row], tuple[float, ...]]:
    """Make the function that reads what a row of a file for prediction says of a model's numbers or labels.

    What it lacks, or what is no number, costs its score alone: NaN.

    Args: names: of the model's numbers or labels.
    """
    nothing = (MISSING,) * len(names)
    if (data.targets and not set(target_columns(data)) <= set(table.columns)) or (
        not data.targets and "label" not in roles
    ):
        return lambda row: nothing
    if data.task == "multilabel" and not data.targets:
        spelled = label_reader([], data, names)

        def read_labels(row: Row) -> tuple[float, ...]:
            told = labels_in(roles.cell(row, "label"), data.separator)
            return _as_numbers(None if told is None else [spelled(label) for label in told], names)

        return read_labels
    strict = target_reader(roles, data)

    def read(row: Row) -> tuple[float, ...]:
        try:
            return strict(row)
        except MerError:
            return nothing

    return read


def _is_there(row: Row, column: str) -> float:
    """Read whether a row has the label of a column: 1 or 0, yes or no, or how strong it is, from 0 on."""
    said = _folded(row.text(column))
    if said in _NOTHING:
        return MISSING
    if said in _YES | _NO:
        return float(said in _YES)
    if not _NUMBER.fullmatch(said) or said.startswith("-"):
        raise row.fault(
            f"{column} is {shortened(row.text(column).strip())}", "0 or 1, yes or no, a strength, or nothing"
        )
    return float(float(said.replace(",", ".")) > 0)


def labels_in(cell: str, separator: str | None) -> list[str] | None:
    """Split a cell into labels: "joy; surprise", "joy|surprise", or a list, ["joy", "surprise"].

    Returns: None where it is empty: nobody has labelled the row. An empty list is a row that has none of the labels.
    """
    cell = cell.strip()
    if not cell:
        return None
    if cell.startswith("["):
        if cell[1:].strip() == "]":
            return []
        if (names := names_in(cell)) is not None:
            return names
        try:
            listed = json.loads(cell)
        except ValueError:
            listed = None
        if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
            return listed
    parts = _SEPARATORS.split(cell) if separator is None else cell.split(separator)
    return [part.strip() for part in parts if part.strip()]


def with_targets(
    found: Mapping[str, Sequence[Utterance]], data: DataConfig, where: object, default: str, otherwise: str = ""
) -> tuple[dict[str, list[Utterance]], tuple[str, ...]]:
    """Give the utterances of each split their targets, and name these.

    Args:
        found: split -> its utterances, train among them; with their numbers, or with the cell of their labels.
        where: the file, for messages.
        default: name of the number where `data.targets` names none: its column.
        otherwise: what to do about labels that train lacks, where splits were made.
    Raises: MerError for a target that says nothing, or nothing that could be learnt.
    """
    if data.task == "multilabel" and not data.targets:
        return _of_cells(found, data, where, otherwise)
    names = tuple(name for name, _ in data.targets) or (default,)
    for place, name in enumerate(names):
        _refuse_nothing_to_learn(name, [u.targets[place] for u in found["train"]], data, where)
    blank = {data.label: ""}
    return {split: [u.changed(split=split, **blank) for u in of] for split, of in found.items()}, names


def _of_cells(
    found: Mapping[str, Sequence[Utterance]], data: DataConfig, where: object, otherwise: str
) -> tuple[dict[str, list[Utterance]], tuple[str, ...]]:
    """Read several labels of one cell. The names are those of train, as those of classes are."""
    told = {split: [labels_in(getattr(u, data.label) or "", data.separator) for u in of] for split, of in found.items()}
    read = label_reader([label for labels in told["train"] for label in labels or ()], data)
    told = {
        split: [None if labels is None else [read(label) for label in labels] for labels in of]
        for split, of in told.items()
    }
    counts = {split: Counter(label for labels in of for label in labels or ()) for split, of in told.items()}
    names = class_names(counts["train"], data)
    if len(names) < 2:
        have = f"{names[0]!r} is the only label of train" if names else "no row of train has a label"
        then = "--set data.columns.label=COLUMN, or a column for each label: --set 'data.targets=[happy, sad]'"
        raise MerError(where, have, allowed="cells such as happy;surprised, two labels or more in all", then=then)
    for split, of in counts.items() if not data.labels else ():
        refuse_unlearnt(of, names, split, where, otherwise)
    blank = {data.label: ""}
    return {
        split: [
            u.changed(split=split, targets=_as_numbers(labels, names), **blank)
            for u, labels in zip(of, told[split], strict=True)
        ]
        for split, of in found.items()
    }, names


def _as_numbers(labels: Sequence[str] | None, names: Sequence[str]) -> tuple[float, ...]:
    return tuple(MISSING if labels is None else float(name in labels) for name in names)


def _refuse_nothing_to_learn(name: str, values: Sequence[float], data: DataConfig, where: object) -> None:
    """Refuse a target of which train says nothing, or the same everywhere."""
    said = {value for value in values if not math.isnan(value)}
    if len(said) > 1:
        return
    found = f"every row of train has {next(iter(said)):g} for {name!r}" if said else f"no row of train has a {name!r}"
    what = "at least two different numbers" if data.task == "regression" else "rows with the label, and rows without"
    way_out = "--set data.columns.label=COLUMN" if not data.targets else "leave it out of data.targets"
    raise MerError(where, found, allowed=what, then=way_out)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
