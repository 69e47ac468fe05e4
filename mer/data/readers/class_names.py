"""The classes of a corpus: which labels train has, merged and in a stated order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from mer.config import DataConfig
from mer.errors import MerError, did_you_mean

_OTHER_COLUMN = "--set data.columns.label=COLUMN"


def label_reader(labels: Iterable[str], data: DataConfig, known: Sequence[str] = ()) -> Callable[[str], str]:
    """Make the function that turns the label of a cell into the name of its class; "" stays "".

    Labels that differ in case alone are one: their most frequent spelling in train counts, or that of `data.labels`.

    Args:
        labels: cells of train, as they are.
        known: the labels of a published dataset, spelled as they are shown.
    """
    spelled: dict[str, str] = {}
    for label, _ in sorted(Counter(filter(None, map(_tidy, labels))).items(), key=lambda item: (-item[1], item[0])):
        spelled.setdefault(label.casefold(), label)
    spelled |= {label.casefold(): label for label in known}
    merged = {old.casefold(): new for new, olds in data.merge_labels for old in olds}
    shown = {label.casefold(): label for label in data.labels}

    def read(cell: str) -> str:
        label = _tidy(cell)
        label = spelled.get(label.casefold(), label)
        label = merged.get(label.casefold(), label)
        return shown.get(label.casefold(), label)

    return read


def class_names(counts: Counter[str], data: DataConfig, known: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the classes in the order of their numbers: `data.labels`, else the order of the published dataset, else
    the most frequent first, equally frequent ones by name.

    Args:
        counts: class -> rows of train.
        known: the labels of a published dataset in their usual order.
    Raises: MerError for a class of `data.labels` that train does not have.
    """
    by_frequency = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if name]
    for label in data.labels:
        if label not in counts:
            raise MerError(
                "data.labels",
                f"train has no row labelled {label!r}: nothing could learn it.{did_you_mean(label, by_frequency)}",
                allowed=", ".join(by_frequency),
                then="leave it out",
            )
    if data.labels:
        return data.labels
    ordered = [name for name in known if counts[name]]
    return (*ordered, *(name for name in by_frequency if name not in ordered))


def refuse_too_few(names: Sequence[str], where: object, then: str = "") -> None:
    """Refuse a corpus in which there is nothing to tell apart.

    Args: then: what to do, where the column of labels is not at fault.
    Raises: MerError.
    """
    if len(names) < 2:
        found = f"every labelled row of train is {names[0]!r}" if names else "no row of train has a label"
        raise MerError(where, found, allowed="at least two different labels", then=then or _OTHER_COLUMN)


def refuse_unlearnt(counts: Counter[str], names: Sequence[str], split: str, where: object, otherwise: str = "") -> None:
    """Refuse labels that train does not have: no model can learn them, and their rows would be wrong in any case.

    Args:
        counts: label -> rows of the split, "" for rows without one.
        otherwise: a further way out, for splits that were made.
    Raises: MerError naming them and the ways out.
    """
    unknown = {label: count for label, count in counts.items() if label and label not in names}
    if not unknown:
        return
    told = ", ".join(f"{label!r} ({count})" for label, count in sorted(unknown.items(), key=lambda i: (-i[1], i[0])))
    first = next(iter(unknown))
    merge = f"--set 'data.merge_labels={{{_quoted(names[0])}: [{_quoted(first)}]}}'"
    raise MerError(
        where,
        f"{split} has labels that train does not have: {told}.{did_you_mean(first, names)}",
        allowed=", ".join(names),
        then=f"{otherwise + '; or ' if otherwise else ''}merge them into a class, {merge}; or empty these cells: a row "
        "without a label is context",
    )


def _quoted(label: str) -> str:
    """Write a label for YAML in flow style."""
    plain = label.replace(" ", "").replace("-", "").replace("_", "")
    return label if plain.isalpha() and label.casefold() not in _YAML_WORDS else '"' + label.replace('"', '\\"') + '"'


_YAML_WORDS = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}


def _tidy(cell: str) -> str:
    return " ".join(cell.split())
