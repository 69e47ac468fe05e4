"""Encoder features of several modalities -> one representation h -> class scores.

Shape suffixes: N utterances, M modalities, L stored layers, D encoder width, H width of h, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mer.config import Dialogue, Fusion, HeadConfig, NoDialogue
from mer.models.classifier import INPUT, Classifier, InputNorm, LayerMix, fit_norm
from mer.models.dialogue import DialogueEncoder
from mer.models.dropout import Dropout
from mer.models.fusion import Fused, build_fusion

if TYPE_CHECKING:
    from mer.models.tuned import TunedEncoder


class Joined(Classifier):
    """A fusion of one vector per modality, and the head on its output. Subclasses say how the vectors are made.

    Args:
        config: of the head; `hidden: 0` puts the classifier on the fused vector itself.
        fusion: how modalities meet.
        dialogue: how fused utterances read others of their dialogue; batches need `dialogue_B` unless it is 'none'.
        widths: modality -> width of its vector, in the order text, audio, video.
        classes: C.
        probe, encoders: as for Classifier.
    """

    def __init__(
        self,
        config: HeadConfig,
        fusion: Fusion,
        dialogue: Dialogue,
        *,
        widths: Mapping[str, int],
        classes: int,
        probe: bool,
        encoders: Mapping[str, TunedEncoder] | None = None,
    ) -> None:
        super().__init__(probe=probe, encoders=encoders)
        self.own_loss = getattr(fusion, "own_loss", 0.0)
        self.fusion = build_fusion(fusion, widths, classes)
        self.dialogue = None if isinstance(dialogue, NoDialogue) else DialogueEncoder(dialogue, fusion.width)
        self.build_head(config, fusion.width, classes)
        self._last: Fused | None = None  # of the last batch, for `auxiliary`, which is called after the forward

    def read(self, x: Any) -> dict[str, Tensor]:
        """Compute one vector (N, D_m) per modality of a FusedBatch."""
        raise NotImplementedError

    def join(self, parts: Mapping[str, Tensor], present_BM: Tensor, dialogue_B: Tensor | None = None) -> Tensor:
        """Compute h (N, H) of one vector per modality. A row without any modality counts as having its first one."""
        nothing_B = ~present_BM.any(dim=1)  # such rows are scored, and are never part of a loss
        present_BM = torch.cat([present_BM[:, :1] | nothing_B[:, None], present_BM[:, 1:]], dim=1)
        self._last = self.fusion(parts, present_BM)
        if self.dialogue is None:
            return self.blocks(self._last.h_BD)
        return self.blocks(self.dialogue(self._last.h_BD, dialogue_B))

    def represent(self, x: Any, present_N: Tensor | None = None) -> Tensor:
        """Compute h (N, H) of a FusedBatch."""
        return self.join(self.read(x), x.present_BM, x.dialogue_B)

    def forward(self, x: Any, present_N: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute h (N, H) and class scores (N, C) of a FusedBatch."""
        return self.scored(self.represent(x))

    def scored(self, h_NH: Tensor) -> tuple[Tensor, Tensor]:
        """Return h and the class scores (N, C) of the batch that `join` was last given."""
        assert self._last is not None
        return h_NH, self.classify(h_NH) if self._last.logits_BC is None else self._last.logits_BC

    def auxiliary(self, labels_N: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        last, self._last = self._last, None  # lets go of the batch's graph, so that its memory can be freed
        if last is None:
            return {}, {}
        losses = dict(last.losses)
        for modality, (logits_NC, there_N) in last.own_logits.items():
            if self.own_loss and bool(there_N.any()):
                losses[f"own_{modality}"] = self.own_loss * F.cross_entropy(logits_NC[there_N], labels_N[there_N])
        return losses, dict(last.monitors)


class FusedClassifier(Joined):
    """Input norm and layer mix per modality, then fusion, dialogue encoder, head.

    Args: as for Joined, and
        layers: modality -> number of hidden states, in the order text, audio, video.
        width: modality -> encoder width D.
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
        encoders: Mapping[str, TunedEncoder] | None = None,
    ) -> None:
        mixes = {m: LayerMix(config.layer_mix, layers[m]) for m in layers}
        widths = {m: mixes[m].width(layers[m], width[m]) for m in layers}
        norms = {m: InputNorm(config.input_norm, layers[m], width[m]) for m in layers}
        super().__init__(config, fusion, dialogue, widths=widths, classes=classes, probe=probe, encoders=encoders)
        self.input_norms, self.layer_mixes = nn.ModuleDict(norms), nn.ModuleDict(mixes)
        self.input_dropouts = nn.ModuleDict({m: Dropout(config.input_dropout, INPUT + i) for i, m in enumerate(layers)})

    def fit_norm(self, split: Any, layers: Mapping[str, list[int]], rows_N: np.ndarray) -> None:
        """Set the statistics of each modality's input norm from those of the given training rows that have it."""
        for modality, part in split.parts.items():
            there = rows_N if part.present_N is None else rows_N[part.present_N[rows_N]]
            norm = self.input_norms[modality]
            assert isinstance(norm, InputNorm)
            fit_norm(norm, part, layers[modality], there, self.tuned.get(modality))

    def read(self, x: Any) -> dict[str, Tensor]:
        """Scale features and mix layers. A row without any modality gets zeros, the average, for its first one."""
        parts = {
            modality: self.input_dropouts[modality](
                self.layer_mixes[modality](self.input_norms[modality](self.encoded(modality, given)))
            )
            for modality, given in x.parts.items()
        }
        first, nothing_B = next(iter(parts)), ~x.present_BM.any(dim=1)
        return parts | {first: parts[first].masked_fill(nothing_B[:, None], 0.0)}
