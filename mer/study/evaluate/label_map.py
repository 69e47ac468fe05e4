"""Which class of a model stands for which label of another corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mer.errors import MerError, brief, did_you_mean
from mer.read_yaml import plain_value

OPTION = "--map"


@dataclass(frozen=True)
class LabelMap:
    """Labels of a corpus as classes of a model.

    Args:
        class_names: of the model.
        labels: of the corpus.
        class_of: label -> class; labels without one are left out of the scores.
    """

    class_names: tuple[str, ...]
    labels: tuple[str, ...]
    class_of: Mapping[str, str]

    @property
    def shared(self) -> tuple[str, ...]:
        """Classes that some label is mapped to, in the model's order."""
        return tuple(name for name in self.class_names if name in self.class_of.values())

    @property
    def unmapped(self) -> tuple[str, ...]:
        """Labels of the corpus that no class stands for."""
        return tuple(label for label in self.labels if label not in self.class_of)

    @property
    def unused(self) -> tuple[str, ...]:
        """Classes of the model that no label is mapped to."""
        return tuple(name for name in self.class_names if name not in self.class_of.values())

    def numbers(self, labels_N: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Turn label numbers of the corpus into places in `names`; -1 for rows that are left out."""
        place = {name: number for number, name in enumerate(names)}
        table = np.array([place.get(self.class_of.get(label, ""), -1) for label in self.labels] + [-1])
        return table[labels_N]  # a row without a label is -1, the last place

    def counts(self, labels_N: np.ndarray) -> dict[str, int]:
        """Count the rows of each label that is left out, and under "" those without a label."""
        found = Counter(int(number) for number in labels_N)
        left = {label: found[self.labels.index(label)] for label in self.unmapped if found[self.labels.index(label)]}
        return left | ({"": found[-1]} if found[-1] else {})


def label_map(class_names: Sequence[str], labels: Sequence[str], said: str | None) -> LabelMap:
    """Map labels by what the user said, else by their names, in any case.

    Args: said: the option `--map`, {LABEL: CLASS}; a label of `null` is left out. None: names alone.
    Raises: MerError for names that are none, and where fewer than two classes are left.
    """
    by_name = {name.casefold(): name for name in class_names}
    class_of = {label: by_name[label.casefold()] for label in labels if label.casefold() in by_name}
    known = {label.casefold(): label for label in labels}
    for old, new in _said(said).items():
        if old.casefold() not in known:
            raise _unknown(old, "label of the corpus", labels)
        label = known[old.casefold()]
        if new is None:
            class_of.pop(label, None)
        elif new.casefold() not in by_name:
            raise _unknown(new, "class of the model", class_names)
        else:
            class_of[label] = by_name[new.casefold()]
    made = LabelMap(tuple(class_names), tuple(labels), class_of)
    if len(made.shared) < 2:
        found = f"the model's {made.shared[0]!r} alone has a label here" if made.shared else "no label is a class of it"
        raise MerError(
            OPTION,
            f"{found}: the model knows {', '.join(class_names)}; the corpus has {', '.join(labels)}",
            allowed="at least two classes that both have",
            then=f"say which label is which class: {OPTION} '{{{labels[0]}: {class_names[0]}, LABEL: CLASS}}'",
        )
    return made


def _said(text: str | None) -> dict[str, str | None]:
    if text is None:
        return {}
    said = plain_value(text, OPTION)
    plain = isinstance(said, dict) and all(isinstance(v, str) or v is None for v in said.values())
    if not plain or not all(isinstance(key, str) for key in said):
        raise MerError(
            OPTION, f"got {brief(said)}", allowed="{LABEL: CLASS, ...}, e.g. '{joyful: joy, powerful: null}'"
        )
    return dict(said)


def _unknown(name: str, what: str, names: Sequence[str]) -> MerError:
    return MerError(OPTION, f"{name!r} is no {what}.{did_you_mean(name, names)}", allowed=", ".join(names))
