"""Two students and a teacher over four toy dialogues; some clips are absent."""

from __future__ import annotations

from typing import Any

import numpy as np
from toy_data import CLASSES, split

from mer.config import TrialConfig, nest
from mer.training import FusedSplit, SplitArrays, TeacherOutputs, TrainingData, build_run
from mer.training.distillation import DistillationRun

LAYERS = {"audio": [0, 2], "video": [1]}
TEACHER_WIDTH = 10


def parts(name: str, dialogues: int, absent: float) -> dict[str, SplitArrays]:
    made = {}
    for seed, modality in enumerate(LAYERS):
        arrays = split(name, dialogues, noise=0.8, seed=seed)
        there = np.random.default_rng([seed, 1]).random(len(arrays)) >= absent
        made[modality] = SplitArrays(arrays.ids, arrays.features_NLD, arrays.labels_N, there)
    return made


def teacher(labels_N: np.ndarray) -> TeacherOutputs:
    """Right more often than not, of another width than the students."""
    rng = np.random.default_rng(3)
    logits = 2 * np.eye(len(CLASSES))[labels_N] + rng.standard_normal((len(labels_N), len(CLASSES)))
    h = logits @ rng.standard_normal((len(CLASSES), TEACHER_WIDTH))
    there = rng.random(len(labels_N)) >= 0.1
    return TeacherOutputs(logits.astype(np.float32), h.astype(np.float32), there)


def distill_data(modality: str | None = None, absent: float = 0.3, teaches: bool = True) -> TrainingData:
    """All students' data, or that of one of them as it trains alone."""
    train, dev = parts("train", 4, absent), parts("dev", 2, absent)
    said = {"train": teacher(train["audio"].labels_N), "dev": teacher(dev["audio"].labels_N)}
    if modality is None:
        return TrainingData(FusedSplit(train), FusedSplit(dev), CLASSES, teacher=said if teaches else {})
    return TrainingData(train[modality], dev[modality], CLASSES, teacher=said)


def distill_config(**dotted: Any) -> TrialConfig:
    settings: dict[str, Any] = {
        "encoders.audio.layers": [0, 2], "encoders.video.layers": [1], "fusion.kind": "concat", "fusion.width": 16,
        "fusion.modality_dropout": 0.2, "distill.teacher": "exports/t", "distill.warmup_steps": 6, "head.hidden": 12,
        "head.dropout": 0.2, "head.input_dropout": 0.1, "optim.batch_size": 8, "optim.head_lr": 0.02,
        "optim.clip_norm": 0.05, "training.epochs": 4, "distill.audio.head_lr": 0.01,
    }  # fmt: skip
    settings |= {key.replace("__", "."): value for key, value in dotted.items()}
    return TrialConfig.model_validate(nest(settings))


def merged(data: TrainingData | None = None, **dotted: Any) -> DistillationRun:
    run = build_run(distill_config(**dotted), data or distill_data(), LAYERS)
    assert isinstance(run, DistillationRun)
    return run
