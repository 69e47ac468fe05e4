"""Class scores of a trained model: the one place that knows the kinds of prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from mer.models.tuned import TunedEncoder

CENTER_TEMPERATURE = 0.1


def build_model(
    config: TrialConfig,
    *,
    layers: Layers,
    width: int | dict[str, int],
    classes: int,
    base: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    adapters: bool = True,
) -> Any:
    """Build the untrained model of a configuration. Draws random numbers; each student from a stream of its own.

    Args:
        layers: which hidden states are read: a list; of several modalities, and of dialogues, a dict of lists.
        width: of the encoder; likewise.
        base: modality -> weights of its backbone, where that is tuned; without them they are read from its folder.
        adapters: False for weights into which adapters were merged.
    """
    probe, given, task = config.loss.classification.probe, base or {}, config.data.task

    def tuned(modality: str, layers: list[int]) -> TunedEncoder | None:
        if modality not in config.tuned:
            return None
        from mer.models.tuned import build_encoder

        return build_encoder(config, modality, layers, given.get(modality), adapters=adapters)

    def keeps(modality: str) -> bool:
        encoder = config.encoders.present.get(modality)
        return encoder is not None and encoder.keeps_states

    def alone(modality: str, layers: list[int], width: int) -> UtteranceClassifier:
        encoder = tuned(modality, layers)
        return UtteranceClassifier(
            config.head,
            layers=len(layers),
            width=width,
            classes=classes,
            probe=probe,
            encoder=encoder,
            keeps_states=keeps(modality),
            dialogue=config.dialogue,
            task=task,
        )

    if config.fusion is None:
        modality = next(iter(config.encoders.present), "")  # none where features are just given
        if isinstance(width, dict):
            modality, layers, width = next((m, layers[m], width[m]) for m in width)
        if config.distill is None:
            return alone(modality, layers, width)
        with seeded(config.seed, "initialisation", modality):
            return alone(modality, layers, width)
    assert isinstance(width, dict)
    if config.distill is None:
        found = {modality: tuned(modality, layers[modality]) for modality in layers}
        return FusedClassifier(
            config.head,
            config.fusion,
            config.dialogue,
            layers={modality: len(chosen) for modality, chosen in layers.items()},
            width=width,
            classes=classes,
            probe=probe,
            encoders={modality: encoder for modality, encoder in found.items() if encoder is not None},
            keep_states=[modality for modality in layers if keeps(modality)],
            cross_modal=config.loss.cross_modal,
            task=task,
        )
    students = {}
    for modality in layers:
        with seeded(config.seed, "initialisation", modality):
            students[modality] = alone(modality, layers[modality], width[modality])
    with seeded(config.seed, "initialisation", "fusion"):
        return StudentsClassifier(
            config.head,
            config.fusion,
            students=students,
            classes=classes,
            probe=probe,
            cross_modal=config.loss.cross_modal,
            task=task,
        )


@torch.no_grad()
def class_scores(
    config: TrialConfig,
    model: Classifier,
    objective: Objective | None,
    words_CLD: Tensor | None,
    chunks: Iterable[Chunk],
) -> np.ndarray:
    """Compute class scores (N, C) float32: `outputs_of`, without h."""
    return outputs_of(config, model, objective, words_CLD, chunks)[1]


@torch.no_grad()
def outputs_of(
    config: TrialConfig,
    model: Classifier,
    objective: Objective | None,
    words_CLD: Tensor | None,
    chunks: Iterable[Chunk],
) -> tuple[np.ndarray, np.ndarray]:
    """Compute h (N, H) and class scores (N, C), float32, in eval mode, by the configured kind of prediction.

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
    scores, representations = [], []
    for x_NLD, present_N in chunks:
        h, logits = model(x_NLD, present_N)
        representations.append(h.float().cpu())
        if kind == "nearest_center":
            logits = model.center_scores(h, CENTER_TEMPERATURE)
        elif kind == "nearest_anchor":
            assert objective is not None
            logits = objective.anchor_scores(Outputs(h, logits, anchors))
        scores.append(logits.float().cpu())
    return torch.cat(representations).numpy(), torch.cat(scores).numpy()
