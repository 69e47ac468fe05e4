"""Text trials: a head on the cached features of a frozen text encoder."""

from __future__ import annotations

from typing import Any

from mer.config import TrialConfig
from mer.features import select_layers
from mer.training import TrainingRun
from trainables.base import MerTrainable


class TextTrainable(MerTrainable):
    """`trainable: text`."""

    def build(self, config: TrialConfig, slot: dict[str, Any]) -> TrainingRun:
        encoder = config.encoders.text
        assert encoder is not None
        data = self.features.training_data(**slot["features"]["text"], task=config.data.label)
        layers = select_layers(encoder.layers, data.train.features_NLD.shape[1])
        return TrainingRun(config, data, layers, device=slot["device"])
