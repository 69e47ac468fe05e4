"""The toy utterances with numbers, or several labels, instead of classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mer.training import FusedSplit, Split, TeacherOutputs, TrainingData
from mer.training.data import only_labelled

NAMES = {"regression": ("valence", "arousal"), "multilabel": ("happy", "loud", "tense")}
_VALENCE, _AROUSAL = np.array([0.0, 2.0, -2.5]), np.array([100.0, 170.0, 190.0])
_HAS = np.array([[0, 0, 0], [1, 1, 0], [0, 1, 1]])
# Every loss of every task, as settings of a toy run.
LOSSES: dict[str, dict[str, Any]] = {
    "mse": {"data__task": "regression"},
    "mae": {"data__task": "regression", "loss__regression__kind": "mae"},
    "huber": {"data__task": "regression", "loss__regression__kind": "huber"},
    "ccc": {"data__task": "regression", "loss__regression__kind": "ccc"},
    "labels": {"data__task": "multilabel"},
}


def targets_of(classes_N: np.ndarray, task: str, missing: float = 0.15) -> np.ndarray:
    """Make numbers or labels of classes; some are missing, and a few rows have none at all."""
    rng = np.random.default_rng(len(classes_N))
    if task == "regression":
        made = np.stack([_VALENCE[classes_N], _AROUSAL[classes_N]], axis=1)
        made = made + rng.normal(0, [0.3, 5.0], made.shape)
    else:
        made = _HAS[classes_N].astype(float)
    made[rng.random(made.shape) < missing] = np.nan
    made[3::17] = np.nan
    return made.astype(np.float32)


def with_targets(data: TrainingData, task: str, missing: float = 0.15) -> TrainingData:
    """Replace the classes of toy data."""
    return replace(
        data,
        train=only_labelled(_changed(data.train, task, missing)),
        dev=_changed(data.dev, task, missing),
        class_names=NAMES[task],
        teacher={name: _teacher(told, task) for name, told in data.teacher.items()},
    )


def _changed(split: Split, task: str, missing: float) -> Split:
    if isinstance(split, FusedSplit):
        return replace(split, parts={name: _changed(part, task, missing) for name, part in split.parts.items()})
    labels = targets_of(split.labels_N, task, missing)
    labels.setflags(write=False)
    return replace(split, labels_N=labels)


def _teacher(told: TeacherOutputs, task: str) -> TeacherOutputs:
    """Let a teacher of classes answer in the outputs of the task."""
    unit = [1.0, 40.0] if task == "regression" else [1.0, 1.0, 1.0]
    outputs = told.logits_NC[:, : len(unit)] * unit + ([0.0, 150.0] if task == "regression" else 0.0)
    return replace(told, logits_NC=np.asarray(outputs, dtype=np.float32))
