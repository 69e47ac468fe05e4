"""Predictions of numbers, or of several labels, of one split as a trial left them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.stores.files import read_rows
from analysis.stores.predictions import is_of_targets

_TRUE, _OUTPUT, _LOGIT = "true_", "output_", "logit_"


@dataclass(frozen=True)
class TargetPredictions:
    """Args:
    ids: of the N utterances.
    names: of the T numbers or labels.
    true_NT: numbers, or 1 and 0; NaN where the data do not say.
    output_NT: predicted numbers, or scores of labels: above 0 a label is given.
    is_numbers: False for labels.
    """

    ids: list[str]
    names: list[str]
    true_NT: np.ndarray
    output_NT: np.ndarray
    is_numbers: bool

    @property
    def said_NT(self) -> np.ndarray:
        return ~np.isnan(self.true_NT)

    def of_labels(self) -> list[tuple[str, float, float, float, int, int]]:
        """Return of each label its name, precision, recall, F1, rows that have it and rows that are given it."""
        told = []
        for name, true_N, output_N, said_N in zip(
            self.names, self.true_NT.T, self.output_NT.T, self.said_NT.T, strict=True
        ):
            true, given = said_N & (true_N > 0.5), said_N & (output_N > 0)
            right, support, count = int((true & given).sum()), int(true.sum()), int(given.sum())
            f1 = 2 * right / max(1, support + count)
            told.append((name, right / max(1, count), right / max(1, support), f1, support, count))
        return told


def read_targets(path: Path) -> TargetPredictions | None:
    """Read predictions of numbers or labels; None for those of classes.

    Raises: one of `files.BROKEN`, for a file that is missing or garbage.
    """
    header, rows = read_rows(path)
    if not is_of_targets(header):
        return None
    names = [column.removeprefix(_TRUE) for column in header if column.startswith(_TRUE)]
    is_numbers = f"{_OUTPUT}{names[0]}" in header
    prefix = _OUTPUT if is_numbers else _LOGIT
    if not rows or any(f"{prefix}{name}" not in header for name in names):
        raise ValueError("holds no predictions")
    true = np.array([[float(row[_TRUE + name] or "nan") for name in names] for row in rows])
    said = np.array([[float(row[prefix + name]) for name in names] for row in rows])
    if not math.isfinite(float(np.abs(said).sum())):
        raise ValueError("an output is not finite")
    return TargetPredictions([row["id"] for row in rows], names, true, said, is_numbers)
