"""Trials on cached features: one modality, several fused, or students of a teacher.

For an encoder that is tuned, the cache holds its input: token ids, or hidden states of its frozen layers.
"""

from __future__ import annotations

from mer.training import TrainingRun, build_run
from trainables.base import MerTrainable
from trainables.wire import MemberTask


class CachedTrainable(MerTrainable):
    """The worker of every `trainable`: text, audio, video, fusion, distill. The configuration says what it reads."""

    def build(self, task: MemberTask, device: str) -> TrainingRun:
        config = task.trial_config()
        data, layers = self.features.training_data(config, task.features)
        return build_run(config, data, layers, device=device)
