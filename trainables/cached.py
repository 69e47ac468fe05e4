"""Trials on cached features: one modality, several fused, or students of a teacher.

For an encoder that is tuned, the cache holds its input: token ids, or hidden states of its frozen layers.
"""

from __future__ import annotations

from mer.training import build_run
from mer.training.folds import FoldedRun
from mer.training.packed import Run
from trainables.base import MerTrainable
from trainables.wire import MemberTask


class CachedTrainable(MerTrainable):
    """The worker of every `trainable`: text, audio, video, fusion, distill. The configuration says what it reads."""

    def build(self, task: MemberTask, device: str) -> Run:
        config = task.trial_config()
        if config.data.folds is not None:
            parts, layers = self.features.fold_data(config, task.features)
            return FoldedRun([build_run(config, part, layers, device=device) for part in parts])
        data, layers = self.features.training_data(config, task.features)
        return build_run(config, data, layers, device=device)
