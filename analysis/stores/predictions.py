"""Class scores of one split as a trial left them, and what follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from analysis.stores.files import read_rows

_PREFIX = "logit_"


def is_of_targets(header: list[str]) -> bool:
    """Tell whether predictions are of numbers or of several labels, by the columns of their file."""
    return len(header) > 1 and header[1].startswith("true_")


@dataclass(frozen=True)
class ClassScore:
    name: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True)
class Predictions:
    """Args:
    ids: of the N utterances.
    class_names: C of them.
    true_N, predicted_N: class indices.
    scores_NC: logits.
    """

    ids: list[str]
    class_names: list[str]
    true_N: np.ndarray
    predicted_N: np.ndarray
    scores_NC: np.ndarray

    @property
    def dialogues(self) -> list[str]:
        """The dialogue of each utterance: its id up to the utterance's number."""
        return [one.rpartition("_utt")[0] or one for one in self.ids]

    @property
    def right_N(self) -> np.ndarray:
        return self.true_N == self.predicted_N

    @cached_property
    def probabilities_NC(self) -> np.ndarray:
        shifted = np.exp(self.scores_NC - self.scores_NC.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)

    def cooled(self, temperature: float) -> Predictions:
        """Return them with the probabilities that they have at a temperature."""
        return replace(self, scores_NC=self.scores_NC / temperature)

    def confusion(self) -> np.ndarray:
        """Count predictions by class, (C true, C predicted)."""
        size = len(self.class_names)
        return np.bincount(self.true_N * size + self.predicted_N, minlength=size * size).reshape(size, size)

    def per_class(self) -> list[ClassScore]:
        """Compute precision, recall and F1 per class. 0/0 counts as 0, as everywhere (methods 8.1)."""
        counts, scores = self.confusion().tolist(), []
        for index, name in enumerate(self.class_names):
            right, support, predicted = counts[index][index], sum(counts[index]), sum(row[index] for row in counts)
            precision, recall = right / max(1, predicted), right / max(1, support)
            f1 = 2 * right / max(1, support + predicted)
            scores.append(ClassScore(name, precision, recall, f1, support, predicted))
        return scores


def read_predictions(path: Path) -> Predictions | None:
    """Read the predictions of one trial; None for those of numbers or several labels (`stores.targets`).

    Raises: one of `files.BROKEN`, for a file that is missing or garbage.
    """
    header, rows = read_rows(path)
    if is_of_targets(header):
        return None
    names = [column.removeprefix(_PREFIX) for column in header if column.startswith(_PREFIX)]
    if not names or not rows or not {"id", "true", "predicted"} <= set(header):
        raise ValueError("holds no predictions")
    place = {name: index for index, name in enumerate(names)}
    for row in rows:
        if unknown := {row["true"], row["predicted"]} - place.keys():
            raise ValueError(f"names a class without a column: {sorted(unknown)[0]!r}")
    scores = np.array([[float(row[_PREFIX + name]) for name in names] for row in rows])
    if not math.isfinite(float(np.abs(scores).sum())):
        raise ValueError("a score is not finite")
    true, predicted = (np.array([place[row[key]] for row in rows]) for key in ("true", "predicted"))
    return Predictions([row["id"] for row in rows], names, true, predicted, scores)
