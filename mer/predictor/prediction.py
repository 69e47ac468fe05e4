"""One utterance's label, its probabilities, and why it may be an answer from nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """One utterance's label.

    Args:
        label: the most probable class; of two classes with a threshold, the second where it is as probable as that.
        probabilities: one per class, in the model's order; they sum to 1.
        truncated: True if the utterance was too long; a text loses its beginning, a clip its end.
        fault: why the label says nothing about this utterance: its clip could not be read (an average clip was
            predicted) or is silent, its text is empty, or the backbone knows none of its tokens; otherwise ''.
        masked: True if nothing of it could be read.
    """

    label: str
    probabilities: dict[str, float]
    truncated: bool = False
    fault: str = ""
    masked: bool = False


def as_predictions(
    logits_NC: np.ndarray,
    class_names: Sequence[str],
    truncated_N: Iterable[Any] | None = None,
    faults_N: Sequence[str] = (),
    present_N: np.ndarray | None = None,
    threshold: float | None = None,
) -> list[Prediction]:
    """Turn class scores (N, C) into labels with probabilities.

    Args:
        truncated_N, faults_N, present_N: of each row; by default none is cut, all are in order and there.
        threshold: as that of `Export`.
    """
    import torch

    chances = torch.softmax(torch.from_numpy(logits_NC).double(), dim=1)
    best_N = logits_NC.argmax(axis=1) if threshold is None else (chances[:, 1] >= threshold).long().tolist()
    chances_NC = chances.tolist()
    cut = [False] * len(logits_NC) if truncated_N is None else [bool(value) for value in truncated_N]
    faults = faults_N or [""] * len(logits_NC)
    masked_N = np.zeros(len(logits_NC), dtype=bool) if present_N is None else ~present_N
    return [
        Prediction(class_names[best], dict(zip(class_names, row, strict=True)), was_cut, fault, bool(masked))
        for best, row, was_cut, fault, masked in zip(best_N, chances_NC, cut, faults, masked_N, strict=True)
    ]
