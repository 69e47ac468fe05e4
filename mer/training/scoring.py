"""Class scores of a trained model: the one place that knows the kinds of prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mer.config import TrialConfig
from mer.losses import Objective, Outputs
from mer.models import Classifier, UtteranceClassifier
from mer.models.fused import FusedClassifier
from mer.models.students import StudentsClassifier
from mer.training.data import Chunk, Layers
from mer.training.seeding import seeded

_CENTER_TEMPERATURE = 0.1


def build_model(
    config: TrialConfig,
    *,
    layers: Layers,
    width: int | dict[str, int],
    classes: int,
    base: Mapping[str, np.ndarray] | None = None,
    adapters: bool = True,
) -> Any:
    """The untrained model of a configuration. Draws random numbers; of students, each from a stream of its own.

    Args:
        layers: which hidden states are read: a list, or of several modalities a dict of lists.
        width: of the encoder, or of every encoder.
        base: weights of the backbone that is tuned; None: they are read from its folder.
        adapters: False for weights into which adapters were merged.
    """
    if config.tuned:
        from mer.models.tuned import build_tuned

        return build_tuned(config, layers, classes, base, adapters=adapters)
    probe = config.loss.classification.probe

    def alone(layers: list[int], width: int) -> UtteranceClassifier:
        return UtteranceClassifier(config.head, layers=len(layers), width=width, classes=classes, probe=probe)

    if config.fusion is None:
        assert isinstance(width, int)
        if config.distill is None:
            return alone(layers, width)
        with seeded(config.seed, "initialisation", config.encoders.only[0]):
            return alone(layers, width)
    assert isinstance(width, dict)
    if config.distill is None:
        counts = {modality: len(chosen) for modality, chosen in layers.items()}
        parts = (config.head, config.fusion, config.dialogue)
        return FusedClassifier(*parts, layers=counts, width=width, classes=classes, probe=probe)
    students = {}
    for modality in layers:
        with seeded(config.seed, "initialisation", modality):
            students[modality] = alone(layers[modality], width[modality])
    with seeded(config.seed, "initialisation", "fusion"):
        return StudentsClassifier(config.head, config.fusion, students=students, classes=classes, probe=probe)


@torch.no_grad()
def class_scores(
    config: TrialConfig,
    model: Classifier,
    objective: Objective | None,
    words_CLD: Tensor | None,
    chunks: Iterable[Chunk],
) -> np.ndarray:
    """Class scores (N, C) float32 in eval mode, by the configured kind of prediction.

    Args:
        objective: read by 'nearest_anchor' only.
        words_CLD: features of the label words, read by 'nearest_anchor' only.
        chunks: features (n, L, D) whose rows follow one another, with the mask of those that are there.
    """
    model.eval()
    kind, anchors = config.training.prediction, None
    if kind == "nearest_anchor":
        assert objective is not None
        objective.eval()
        anchors = model.represent(words_CLD) if words_CLD is not None else None
    scores = []
    for x_NLD, present_N in chunks:
        h, logits = model(x_NLD, present_N)
        if kind == "nearest_center":
            logits = model.center_scores(h, _CENTER_TEMPERATURE)
        elif kind == "nearest_anchor":
            assert objective is not None
            logits = objective.anchor_scores(Outputs(h, logits, anchors))
        scores.append(logits.float().cpu())
    return torch.cat(scores).numpy()
