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
        outputs: classes of the model.
        labels: of the corpus.
        pairs: label -> class; labels without one are left out of the scores.
    """

    outputs: tuple[str, ...]
    labels: tuple[str, ...]
    pairs: Mapping[str, str]

    @property
    def shared(self) -> tuple[str, ...]:
        """Classes that some label is mapped to, in the model's order."""
        return tuple(name for name in self.outputs if name in self.pairs.values())

    @property
    def unmapped(self) -> tuple[str, ...]:
        """Labels of the corpus that no class stands for."""
        return tuple(label for label in self.labels if label not in self.pairs)

    @property
    def unused(self) -> tuple[str, ...]:
        """Classes of the model that no label is mapped to."""
        return tuple(name for name in self.outputs if name not in self.pairs.values())

    def truth(self, labels_N: np.ndarray) -> np.ndarray:
        """Return the place of each row's class in `shared`; -1 for rows that are left out."""
        return self.numbers(labels_N, self.shared)

    def numbers(self, labels_N: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Turn label numbers of the corpus into places in `names`; -1 for rows that are left out."""
        place = {name: number for number, name in enumerate(names)}
        table = np.array([place.get(self.pairs.get(label, ""), -1) for label in self.labels] + [-1])
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
    pairs = paired(class_names, labels, said, what="label", whose="class")
    made = LabelMap(tuple(class_names), tuple(labels), pairs)
    if len(made.shared) < 2:
        found = f"the model's {made.shared[0]!r} alone has a label here" if made.shared else "no label is a class of it"
        raise MerError(
            OPTION,
            f"{found}: the model knows {', '.join(class_names)}; the corpus has {', '.join(labels)}",
            allowed="at least two classes that both have",
            then=f"say which label is which class: {OPTION} '{{{labels[0]}: {class_names[0]}, LABEL: CLASS}}'",
        )
    return made


def paired(outputs: Sequence[str], names: Sequence[str], said: str | None, *, what: str, whose: str) -> dict[str, str]:
    """Pair names of a corpus with those of a model: name of the corpus -> name of the model.

    Args:
        outputs: names of the model.
        names: of the corpus.
        said: the option `--map`; None: equal names, in any case, are pairs.
        what, whose: what the names of the corpus and of the model are, for messages.
    Raises: MerError for names that are none.
    """
    by_name = {name.casefold(): name for name in outputs}
    pairs = {name: by_name[name.casefold()] for name in names if name.casefold() in by_name}
    known = {name.casefold(): name for name in names}
    for old, new in _said(said).items():
        if old.casefold() not in known:
            raise _unknown(old, f"{what} of the corpus", names)
        name = known[old.casefold()]
        if new is None:
            pairs.pop(name, None)
        elif new.casefold() not in by_name:
            raise _unknown(new, f"{whose} of the model", outputs)
        else:
            pairs[name] = by_name[new.casefold()]
    return pairs


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
