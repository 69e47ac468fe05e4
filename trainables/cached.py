"""Trials on cached features: of text, audio, video, any of them fused, and students of a teacher. Of an encoder that is
tuned, what it reads is cached."""

from __future__ import annotations

from typing import Any

from mer.config import TrialConfig
from mer.training import TrainingRun, build_run
from trainables.base import MerTrainable


class CachedTrainable(MerTrainable):
    """`trainable: text | audio | video | fusion | distill`: one implementation; the configuration says what is read."""

    def build(self, config: TrialConfig, slot: dict[str, Any]) -> TrainingRun:
        data, layers = self.features.training_data(config, slot["features"])
        return build_run(config, data, layers, device=slot["device"])
