"""Text, audio and video trials: a head on the cached features of one frozen encoder."""

from __future__ import annotations

from typing import Any

from mer.config import TrialConfig
from mer.training import TrainingRun
from trainables.base import MerTrainable


class SingleModalityTrainable(MerTrainable):
    """`trainable: text | audio | video`: which one, the configuration's only encoder says."""

    def build(self, config: TrialConfig, slot: dict[str, Any]) -> TrainingRun:
        modality, _ = config.encoders.only
        data, layers = self.features.training_data(config, **slot["features"][modality])
        return TrainingRun(config, data, layers, device=slot["device"])
