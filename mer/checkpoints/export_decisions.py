"""What dev decided of an export beside its weights, read back from labels.json: thresholds and the temperature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from mer.checkpoints.export_manifest import way_out
from mer.checkpoints.export_parts import Labels
from mer.config import TargetKind
from mer.errors import MerError


def read_decisions(
    folder: Path, labels: Labels, task: TargetKind
) -> tuple[float | None, dict[str, float] | None, float | None]:
    """Check the threshold, the thresholds of labels and the temperature that labels.json says. Raises: MerError."""
    names = tuple(labels.class_names)
    return (
        _threshold(folder, labels.threshold, names),
        _thresholds(folder, labels.thresholds, names, task),
        _temperature(folder, labels.temperature, task),
    )


def _threshold(folder: Path, found: float | None, names: Sequence[str]) -> float | None:
    """Check the decision threshold. Raises: MerError for one that is no probability, or of other than two classes."""
    if found is not None and (len(names) != 2 or not 0.0 < found < 1.0):
        allowed = "a probability between 0 and 1, of a model with two classes"
        raise MerError(folder / "labels.json", f"threshold is {found!r}", allowed=allowed, then=way_out(folder))
    return found


def _temperature(folder: Path, found: float | None, task: TargetKind) -> float | None:
    """Check the temperature. Raises: MerError for one that is no positive number, or of a model of numbers."""
    if found is not None and (task == "regression" or not 0.0 < found < math.inf):
        allowed = "a number above 0, of a model of classes or labels"
        raise MerError(folder / "labels.json", f"temperature is {found!r}", allowed=allowed, then=way_out(folder))
    return found


def _thresholds(
    folder: Path, found: dict[str, float] | None, names: Sequence[str], task: TargetKind
) -> dict[str, float] | None:
    """Check the thresholds of labels. Raises: MerError for such that are no probabilities, or of other labels."""
    if found is None:
        return None
    if task != "multilabel" or set(found) != set(names) or not all(0.0 < chance < 1.0 for chance in found.values()):
        allowed = "a probability between 0 and 1 for each label, of a model of several labels"
        raise MerError(folder / "labels.json", f"thresholds are {found!r}", allowed=allowed, then=way_out(folder))
    return found
