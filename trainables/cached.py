"""Trials on cached features of frozen encoders: text, audio, video, and any of them fused."""

from __future__ import annotations

from typing import Any

from mer.config import TrialConfig
from mer.training import TrainingRun
from trainables.base import MerTrainable


class CachedTrainable(MerTrainable):
    """`trainable: text | audio | video | fusion`: one implementation; the encoders say what is read."""

    def build(self, config: TrialConfig, slot: dict[str, Any]) -> TrainingRun:
        data, layers = self.features.training_data(config, slot["features"])
        return TrainingRun(config, data, layers, device=slot["device"])
