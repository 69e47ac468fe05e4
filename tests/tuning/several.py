"""Tuned encoders of several modalities: tiny backbones, states as a cache would hold them, absent clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import audio_backbones
import numpy as np
import video_backbones

from mer.config import TrialConfig, nest
from mer.features.backbone.files import locate
from mer.features.cache.sequences import Sequences
from mer.features.partial import base_weights
from mer.training import FusedSplit, SequenceSplit, SplitArrays, TeacherOutputs, TrainingData

CLASSES, ROWS = ("neutral", "joy", "anger"), {"train": 48, "dev": 20}
WIDTH, STATES = 24, 4
TEXT_WIDTH = 32
LAYERS = {"text": [2], "audio": [2, 3], "video": [3]}


class Several:
    """Text (LoRA, token ids), audio (LoRA, from hidden state 1), video (full, from hidden state 2)."""

    def __init__(self, text: Path, folder: Path) -> None:
        audio_backbones.save_backbone("wav2vec2_layer", folder / "audio")
        video_backbones.save_backbone("clip_vision", folder / "video")
        self.backbones = {"text": str(text), "audio": str(folder / "audio"), "video": str(folder / "video")}

    def config(self, *modalities: str, **dotted: Any) -> TrialConfig:
        settings: dict[str, Any] = {
            "head.hidden": 12, "head.dropout": 0.1, "optim.batch_size": 8, "optim.head_lr": 0.01,
            "optim.encoder_lr": 0.005, "training.epochs": 2,
        }  # fmt: skip
        own: dict[str, dict[str, Any]] = {
            "text": {"mode": "lora", "layers": LAYERS["text"]},
            "audio": {"mode": "lora", "layers": LAYERS["audio"], "freeze_layers": 1, "lr": 0.002},
            "video": {"mode": "full", "layers": LAYERS["video"], "freeze_layers": 2, "pooler": "mean"},
        }
        for modality in modalities:
            settings |= {f"encoders.{modality}.{key}": value for key, value in own[modality].items()}
            settings[f"encoders.{modality}.backbone"] = self.backbones[modality]
        settings |= {key.replace("__", "."): value for key, value in dotted.items()}
        return TrialConfig.model_validate(nest({k: v for k, v in settings.items() if v is not None}))

    def data(self, config: TrialConfig, taught: bool = False) -> tuple[TrainingData, Any]:
        """Arrays of one modality, or of several; shared base weights, as Ray hands them out."""
        base = {}
        for modality, encoder in config.tuned.items():
            base[modality] = base_weights(encoder, locate(encoder, weights=True), encoder.first_tuned)
            for array in base[modality].values():
                array.setflags(write=False)
        parts = {name: {m: self._part(config, m, name) for m in config.encoders.present} for name in ROWS}
        several = len(config.encoders.present) > 1
        train, dev = (FusedSplit(parts[n]) if several else next(iter(parts[n].values())) for n in ROWS)
        teacher = {name: _teacher(labels(name)) for name in ROWS} if taught else {}
        layers = {m: LAYERS[m] for m in config.encoders.present}
        return TrainingData(train, dev, CLASSES, teacher=teacher, base=base), (
            layers if several else next(iter(layers.values()))
        )

    @staticmethod
    def _part(config: TrialConfig, modality: str, name: str) -> SplitArrays | SequenceSplit:
        """The label is in the mean of the states (in the ids, of text)."""
        rng, labels_N = np.random.default_rng([len(modality), len(name)]), labels(name)
        ids = tuple(f"{name}/dia{row // 6}_utt{row % 6}" for row in range(len(labels_N)))
        there = np.ones(len(labels_N), bool) if modality == "text" else rng.random(len(labels_N)) > 0.2
        if config.encoders.present[modality].mode == "frozen":
            features = rng.standard_normal((len(labels_N), STATES, WIDTH)) + np.eye(STATES, WIDTH)[labels_N][:, None]
            return SplitArrays(ids, features.astype(np.float16), labels_N, there)
        rows, spans = [], []
        for label, is_there in zip(labels_N, there, strict=True):
            length = int(rng.integers(3, 9))
            if modality == "text":
                rows.append((rng.integers(0, 20, length) * 3 + 10 + label).astype(np.int32))
                spans.append((0, length))
                continue
            shape = (length, WIDTH) if modality == "audio" else (4, 17, WIDTH)
            state = rng.standard_normal(shape) + 2 * np.eye(3, WIDTH)[label]
            rows.append(state.astype(np.float16) if is_there else np.zeros((0, *shape[1:]), np.float16))
            spans.append((0, length if modality == "audio" else 4 * 16) if is_there else (0, 0))
        return SequenceSplit(
            ids, Sequences.join(rows, spans), labels_N, *((TEXT_WIDTH,) if modality == "text" else (WIDTH, there))
        )


def labels(name: str) -> np.ndarray:
    return np.random.default_rng(len(name)).integers(0, len(CLASSES), ROWS[name])


def _teacher(labels_N: np.ndarray) -> TeacherOutputs:
    rng = np.random.default_rng(3)
    logits = 2 * np.eye(len(CLASSES))[labels_N] + rng.standard_normal((len(labels_N), len(CLASSES)))
    return TeacherOutputs(logits.astype(np.float32), rng.standard_normal((len(labels_N), 10)).astype(np.float32))
