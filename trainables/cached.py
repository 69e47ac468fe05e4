"""Trials on cached features: of text, audio, video, any of them fused, and students of a teacher. Of an encoder that is
tuned, what it reads is cached."""

from __future__ import annotations

from mer.training import TrainingRun, build_run
from trainables.base import MerTrainable
from trainables.wire import MemberTask


class CachedTrainable(MerTrainable):
    """`trainable: text | audio | video | fusion | distill`: one implementation; the configuration says what is read."""

    def build(self, task: MemberTask, device: str) -> TrainingRun:
        config = task.trial_config()
        data, layers = self.features.training_data(config, task.features)
        return build_run(config, data, layers, device=device)
