"""Labels of any task: which rows have one, what training must know of them, which are equal.

Labels are class numbers (N,) int64, -1 for none; or numbers to predict, or 1 and 0 for each label, (N, T) float with
NaN for what a row does not say.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mer.config import TargetKind
from mer.losses import Frequency, Known, Spread

_SMALLEST_SD = 1e-6  # of a number that hardly varies, relative to max(|mean|, 1)


def has_label(labels: Any) -> Any:
    """Tell for each row of an array or tensor whether it has a label, or says a number: bool (N,)."""
    if labels.ndim == 1:
        return labels >= 0
    said = ~np.isnan(labels) if isinstance(labels, np.ndarray) else ~labels.isnan()
    return said.any(-1)


def same_labels(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two arrays hold the same labels."""
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def made_up_labels(rng: np.random.Generator, rows: int, names: int, task: TargetKind) -> np.ndarray:
    """Draw labels for a model that is only timed."""
    if task == "class":
        return rng.integers(0, names, rows)
    drawn = rng.standard_normal((rows, names))
    return (drawn if task == "regression" else drawn > 0).astype(np.float32)


def blank_unlabelled(labels: np.ndarray) -> np.ndarray:
    """Give rows without a class the first one; nobody reads it there. NaN stays: losses leave it out."""
    return np.maximum(labels, 0) if labels.ndim == 1 else labels


def known_of(labels: np.ndarray, names: int, task: TargetKind) -> Known:
    """Say what losses must know of the labels of the rows that are trained on.

    Args: names: number of classes, numbers or labels.
    Returns: of classes rows of each (C,); of numbers their spread; of labels how frequent they are.
    """
    if task == "class":
        return torch.from_numpy(np.bincount(labels, minlength=names))
    said = ~np.isnan(labels)
    rows = np.maximum(said.sum(axis=0), 1)
    values = np.where(said, labels, 0.0).astype(np.float64)
    total = values.sum(axis=0)
    if task == "multilabel":
        return Frequency(torch.from_numpy(total), torch.from_numpy(said.sum(axis=0)))
    mean = total / rows
    sd = np.sqrt(np.square(np.where(said, values - mean, 0.0)).sum(axis=0) / rows)
    varies = sd > _SMALLEST_SD * np.maximum(np.abs(mean), 1.0)
    return Spread(torch.from_numpy(mean), torch.from_numpy(np.where(varies, sd, 1.0)))


def units_of(known: Known) -> Tensor | None:
    """Return the unit in which outputs are compared: the standard deviation of numbers, float32; else None."""
    return known.scale_T.float() if isinstance(known, Spread) else None
