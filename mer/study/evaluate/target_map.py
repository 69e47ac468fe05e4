"""Which number of a model stands for which of another corpus, or which label for which others.

Shape suffixes: N utterances, K names of the corpus, T names that both have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mer.config import TargetKind
from mer.errors import MerError
from mer.study.evaluate.label_map import OPTION, paired
from mer.training.labels import has_label

WORDS: dict[TargetKind, str] = {"regression": "number", "multilabel": "label"}
_Span = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """Bring numbers from one range to another: `x * factor + shift`.

    Args: words: what is done, for people; "" where numbers stay as they are.
    """

    factor: float = 1.0
    shift: float = 0.0
    words: str = ""


@dataclass(frozen=True)
class TargetMap:
    """Numbers or labels of a corpus as those of a model.

    Args:
        kind: regression or multilabel.
        outputs: names of the model.
        names: of the corpus, in the order of its columns.
        pairs: name of the corpus -> name of the model; those without one are left out of the scores.
        scale: brings numbers of the corpus to the model's range.
    """

    kind: TargetKind
    outputs: tuple[str, ...]
    names: tuple[str, ...]
    pairs: Mapping[str, str]
    scale: Scale = Scale()

    @property
    def shared(self) -> tuple[str, ...]:
        """Names that something of the corpus is mapped to, in the model's order."""
        return tuple(name for name in self.outputs if name in self.pairs.values())

    @property
    def unmapped(self) -> tuple[str, ...]:
        """Names of the corpus that no name of the model stands for."""
        return tuple(name for name in self.names if name not in self.pairs)

    @property
    def unused(self) -> tuple[str, ...]:
        """Names of the model that nothing is mapped to."""
        return tuple(name for name in self.outputs if name not in self.pairs.values())

    def truth(self, labels_NK: np.ndarray) -> np.ndarray:
        """Return what the rows say of `shared`, (N, T) float64; NaN where they say nothing.

        Of several labels that stand for one of the model, a row has it that has any of them.
        """
        columns = [
            self._joined(labels_NK[:, [at for at, name in enumerate(self.names) if self.pairs.get(name) == output]])
            for output in self.shared
        ]
        return np.stack(columns, axis=1)

    def _joined(self, columns_NJ: np.ndarray) -> np.ndarray:
        columns_NJ = columns_NJ.astype(np.float64)
        if self.kind == "regression":
            scaled: np.ndarray = columns_NJ[:, 0] * self.scale.factor + self.scale.shift
            return scaled
        some_N, unsaid_N = (columns_NJ > 0.5).any(axis=1), np.isnan(columns_NJ).any(axis=1)
        return np.where(some_N, 1.0, np.where(unsaid_N, np.nan, 0.0))

    def counts(self, labels_NK: np.ndarray) -> dict[str, int]:
        """Count the rows that say each number, or have each label, that is left out; under "" those that say nothing
        of what is scored."""
        said_NK = ~np.isnan(labels_NK) if self.kind == "regression" else labels_NK > 0.5
        found = {name: int(said_NK[:, at].sum()) for at, name in enumerate(self.names) if name not in self.pairs}
        silent = int((~has_label(self.truth(labels_NK))).sum())
        return {name: count for name, count in found.items() if count} | ({"": silent} if silent else {})


def target_map(
    kind: TargetKind,
    outputs: tuple[str, ...],
    names: tuple[str, ...],
    said: str | None,
    *,
    own: _Span | None = None,
    other: _Span | None = None,
) -> TargetMap:
    """Map numbers or labels by what the user said, else by their names, in any case.

    Args:
        outputs: names of the model.
        names: of the corpus.
        said: the option `--map`, {NAME IN THE CORPUS: NAME IN THE MODEL}; `null` leaves one out. None: names alone.
        own, other: allowed numbers (`data.range`) of the model and of the corpus, where they are known.
    Raises: MerError for names that are none, where nothing is shared, and for two numbers that would be one.
    """
    word = WORDS[kind]
    pairs = paired(outputs, names, said, what=word, whose=word)
    if not pairs:
        raise MerError(
            OPTION,
            f"no {word} is one of it: the model knows {', '.join(outputs)}; the corpus has {', '.join(names)}",
            allowed=f"at least one {word} that both have",
            then=f"say which is which: {OPTION} '{{{names[0]}: {outputs[0]}}}'",
        )
    told = list(pairs.values())
    if kind == "regression" and (twice := next((one for one in told if told.count(one) > 1), None)):
        both = " and ".join(name for name, output in pairs.items() if output == twice)
        raise MerError(OPTION, f"{both} of the corpus would both be {twice!r}", allowed="one number for each")
    return TargetMap(kind, outputs, names, pairs, _scale(own, other) if kind == "regression" else Scale())


def _scale(own: _Span | None, other: _Span | None) -> Scale:
    """Bring numbers from the range of the corpus to that of the model, where both are known and differ."""
    if own is None or other is None or own == other:
        return Scale()
    factor = (own[1] - own[0]) / (other[1] - other[0])
    return Scale(factor, own[0] - factor * other[0], f"brought from {_span(other)} to the model's {_span(own)}")


def _span(span: _Span) -> str:
    return f"[{span[0]:g}, {span[1]:g}]"
