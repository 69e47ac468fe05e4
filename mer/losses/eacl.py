"""Emotion-anchored contrastive learning, EACL (Yu et al. 2024; methods 2.4)."""

# Suffixes: N batch rows, C classes, D width.

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer.config import EACLConfig
from mer.losses.contrastive import angle_loss, prototype_contrastive_loss
from mer.losses.geometry import full_precision, similarity
from mer.tensor_math import at_least_single


class EACL(nn.Module):
    """A map g applied to utterances and label words, and the losses on what it gives.

    Stage one trains g and the model below it, so that utterances gather around the mapped label word of their emotion.
    Stage two trains only `adapted_anchors` (C, D), which start as the mapped label words.
    `adapted_anchors` exists if config.stage_two_epochs > 0; `in_stage_two` is a saved buffer.
    """

    adapted_anchors: nn.Parameter | None
    in_stage_two: Tensor

    def __init__(self, config: EACLConfig, width: int, num_classes: int) -> None:
        super().__init__()
        self.temperature = config.temperature
        self.mapper = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width))
        anchors = nn.Parameter(torch.zeros(num_classes, width)) if config.stage_two_epochs else None
        self.register_parameter("adapted_anchors", anchors)
        self.register_buffer("in_stage_two", torch.tensor(False))

    def forward(self, h_ND: Tensor, y_N: Tensor, anchors_CD: Tensor) -> tuple[Tensor, Tensor]:
        """Compute stage one's losses on mapped rows and anchors: contrastive (nats) and angle (radians)."""
        mapped_CD = self._map(anchors_CD)
        contrastive = prototype_contrastive_loss(
            self._map(h_ND), y_N, mapped_CD, temperature=self.temperature, anchors="all"
        )
        return contrastive, angle_loss(mapped_CD)

    def adaptation_loss(self, h_ND: Tensor, y_N: Tensor) -> Tensor:
        """Compute stage two's loss: cross-entropy of the anchor scores. Only `adapted_anchors` gets its gradient."""
        with torch.no_grad():
            mapped_ND = self._map(h_ND)
        return F.cross_entropy(similarity(mapped_ND, self._adapted(), self.temperature), y_N)

    @torch.no_grad()
    def begin_stage_two(self, anchors_CD: Tensor) -> None:
        """Set the adapted anchors to the mapped label words. Raises: ValueError if stage_two_epochs is 0."""
        self._adapted().copy_(self._map(anchors_CD))
        self.in_stage_two.fill_(True)

    def anchor_scores(self, h_ND: Tensor, anchors_CD: Tensor | None) -> Tensor:
        """Score each class by ((1 + cos) / 2) / temperature of the mapped row to its anchor, (N, C).

        In stage two the adapted anchors are used and anchors_CD is not read.

        Raises: ValueError if label-word vectors are needed and missing.
        """
        anchors_CD = self._adapted() if self.in_stage_two else self._map(label_words(anchors_CD))
        return similarity(self._map(h_ND), anchors_CD, self.temperature)

    def _map(self, x: Tensor) -> Tensor:
        with full_precision(x):
            return self.mapper(at_least_single(x))

    def _adapted(self) -> nn.Parameter:
        if self.adapted_anchors is None:
            raise ValueError("EACL has no stage two here: set loss.contrastive.stage_two_epochs to 1 or more")
        return self.adapted_anchors


def label_words(anchors_CD: Tensor | None) -> Tensor:
    """Return the label-word representations (C, D). Raises: ValueError if there are none."""
    if anchors_CD is None:
        raise ValueError("loss.contrastive.kind 'eacl' needs Outputs.anchors_CD: the label words through the same body")
    return anchors_CD
