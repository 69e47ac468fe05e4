"""Encoder features of several modalities -> one representation h -> class scores.

Shape suffixes: N utterances, M modalities, L stored layers, D encoder width, H width of h, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mer.config import Dialogue, Fusion, HeadConfig, NoDialogue
from mer.models.classifier import Classifier, InputNorm, LayerMix
from mer.models.dialogue import DialogueEncoder
from mer.models.fusion import Fused, build_fusion


class FusedClassifier(Classifier):
    """Per modality norm and layer mix; then they are fused, told of their dialogue, and read by the head.

    Args:
        config: of the head; `hidden: 0` puts the classifier on the fused vector itself.
        fusion: how modalities meet.
        dialogue: how fused utterances read others of their dialogue; unless 'none', batches have a `dialogue_B`.
        layers, width: of every modality, in the order text, audio, video.
        classes: C.
        probe: as in UtteranceClassifier.
    """

    def __init__(
        self,
        config: HeadConfig,
        fusion: Fusion,
        dialogue: Dialogue,
        *,
        layers: Mapping[str, int],
        width: Mapping[str, int],
        classes: int,
        probe: bool = False,
    ) -> None:
        super().__init__(probe=probe)
        self.own_loss = getattr(fusion, "own_loss", 0.0)
        self.input_norms = nn.ModuleDict({m: InputNorm(config.input_norm, layers[m], width[m]) for m in layers})
        mixes = {m: LayerMix(config.layer_mix, layers[m]) for m in layers}
        self.layer_mixes = nn.ModuleDict(mixes)
        self.fusion = build_fusion(fusion, {m: mixes[m].width(layers[m], width[m]) for m in layers}, classes)
        self.dialogue = None if isinstance(dialogue, NoDialogue) else DialogueEncoder(dialogue, fusion.width)
        self.build_head(config, fusion.width, classes)
        self._last: Fused | None = None  # of the last batch: auxiliary terms are asked for after the forward

    def fit_norm(self, split: Any, layers: Mapping[str, list[int]], rows_N: np.ndarray) -> None:
        """Take the statistics of the input norms from the given training rows, of each modality where it is there."""
        for modality, part in split.parts.items():
            there = rows_N if part.present_N is None else rows_N[part.present_N[rows_N]]
            self.input_norms[modality].fit(part.features_NLD, layers[modality], there)  # type: ignore[operator]

    def represent(self, x: Any, present_N: Tensor | None = None) -> Tensor:
        """h (N, H) of a FusedBatch."""
        parts = {
            modality: self.input_dropout(self.layer_mixes[modality](self.input_norms[modality](features)))
            for modality, features in x.parts.items()
        }
        present_BM, nothing_B = x.present_BM, ~x.present_BM.any(dim=1)
        if bool(nothing_B.any()):  # scored, never in the loss: read as an average first modality
            first = next(iter(parts))
            parts[first] = parts[first].masked_fill(nothing_B[:, None], 0.0)
            present_BM = torch.cat([present_BM[:, :1] | nothing_B[:, None], present_BM[:, 1:]], dim=1)
        self._last = self.fusion(parts, present_BM)
        if self.dialogue is None:
            return self.blocks(self._last.h_BD)
        return self.blocks(self.dialogue(self._last.h_BD, x.dialogue_B))

    def forward(self, x: Any, present_N: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(h (N, H), class scores (N, C)) of a FusedBatch."""
        h_NH = self.represent(x)
        assert self._last is not None
        return h_NH, self.classify(h_NH) if self._last.logits_BC is None else self._last.logits_BC

    def auxiliary(self, labels_N: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        last = self._last
        if last is None:
            return {}, {}
        losses = dict(last.losses)
        for modality, (logits_NC, there_N) in last.own_logits.items():
            if self.own_loss and bool(there_N.any()):
                losses[f"own_{modality}"] = self.own_loss * F.cross_entropy(logits_NC[there_N], labels_N[there_N])
        return losses, dict(last.monitors)
