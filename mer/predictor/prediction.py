"""What is predicted of one utterance: a class, numbers, or any number of labels; and why it may be from nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mer.config import TargetKind


@dataclass(frozen=True)
class Prediction:
    """One utterance's answer.

    Args:
        label: the most probable class; of two classes with a threshold, the second where it is as probable as that. Of
            several labels those that are given, parted by "; "; "" where none is, and for numbers.
        probabilities: one per class, in the model's order; they sum to 1. Of several labels each by itself; {} for
            numbers.
        truncated: True if the utterance was too long; a text loses its beginning, a clip its end.
        fault: why the label says nothing about this utterance: its clip could not be read (an average clip was
            predicted) or is silent, its text is empty, or the backbone knows none of its tokens; otherwise ''.
        masked: True if nothing of it could be read.
        numbers: the predicted numbers by name; {} for classes and labels.
        labels: the labels that are given; () for classes and numbers.
    """

    label: str
    probabilities: dict[str, float]
    truncated: bool = False
    fault: str = ""
    masked: bool = False
    numbers: dict[str, float] = field(default_factory=dict)
    labels: tuple[str, ...] = ()

    @property
    def is_class(self) -> bool:
        """True for one class, False for numbers and for several labels."""
        return bool(self.label) and not self.labels


def as_predictions(
    logits_NC: np.ndarray,
    class_names: Sequence[str],
    truncated_N: Iterable[Any] | None = None,
    faults_N: Sequence[str] = (),
    present_N: np.ndarray | None = None,
    threshold: float | None = None,
    *,
    kind: TargetKind = "class",
    thresholds: Mapping[str, float] | None = None,
    temperature: float | None = None,
) -> list[Prediction]:
    """Turn outputs (N, C) into answers: labels with probabilities, or numbers.

    Args:
        truncated_N, faults_N, present_N: of each row; by default none is cut, all are in order and there.
        kind, threshold, thresholds, temperature: as those of `Export`.
    """
    import torch

    from mer.training.calibration import cooled

    marks = _marks(len(logits_NC), truncated_N, faults_N, present_N)
    if kind == "regression":
        rows = [dict(zip(class_names, row, strict=True)) for row in logits_NC.astype(np.float64).tolist()]
        return [Prediction("", {}, *mark, numbers=row) for row, mark in zip(rows, marks, strict=True)]
    scores_NC = torch.from_numpy(cooled(logits_NC, temperature)).double()
    if kind == "multilabel":
        each_NC = torch.sigmoid(scores_NC).tolist()
        above = [(thresholds or {}).get(name, 0.5) for name in class_names]
        given = [
            tuple(name for name, chance, least in zip(class_names, row, above, strict=True) if chance > least)
            for row in each_NC
        ]
        return [
            Prediction("; ".join(labels), dict(zip(class_names, row, strict=True)), *mark, labels=labels)
            for labels, row, mark in zip(given, each_NC, marks, strict=True)
        ]
    chances = torch.softmax(scores_NC, dim=1)
    best_N = logits_NC.argmax(axis=1) if threshold is None else (chances[:, 1] >= threshold).long().tolist()
    chances_NC = chances.tolist()
    return [
        Prediction(class_names[best], dict(zip(class_names, row, strict=True)), *mark)
        for best, row, mark in zip(best_N, chances_NC, marks, strict=True)
    ]


def _marks(
    rows: int, truncated_N: Iterable[Any] | None, faults_N: Sequence[str], present_N: np.ndarray | None
) -> list[tuple[bool, str, bool]]:
    """Say of each row whether it was cut, why it may be an answer from nothing, and whether nothing was read."""
    cut = [False] * rows if truncated_N is None else [bool(value) for value in truncated_N]
    masked_N = np.zeros(rows, dtype=bool) if present_N is None else ~present_N
    return list(zip(cut, faults_N or [""] * rows, map(bool, masked_N), strict=True))
