"""Run several classifiers of one structure as one.

Shape suffixes: P members, N utterances, H width of h, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mer.models import Classifier
from mer.models.dropout import draw_masks_from
from mer.training.draws import Draws
from mer.training.packed.joined import joined
from mer.training.packed.stacked import Stacked


class PackedClassifier:
    """Join P classifiers of one structure; rates of dropout and other settings may differ.

    All methods take `draws`, where random numbers come from while training; None: eval mode.

    Args: models: share memory with the stack from now on.
    """

    def __init__(self, models: Sequence[Classifier]) -> None:
        self.stack = Stacked(models)
        self.module = joined(models, self.stack)
        self._draws: Draws | None = None

    def __call__(self, x: Any, draws: Draws | None, present_N: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute h (P, N, H) and class scores (P, N, C).

        Args:
            x: features (P, N, L, D) at a common scale, or a FusedBatch of such features.
            present_N: bool; a row that is not there is read as zeros.
        """
        h_PNH, logits_PNC = self._ready(draws)(x, present_N)
        return h_PNH, logits_PNC

    def represent(self, x: Any, draws: Draws | None, present_N: Tensor | None = None) -> Tensor:
        """Compute h (P, N, H)."""
        return self._ready(draws).represent(x, present_N)

    def classify(self, h_PNH: Tensor) -> Tensor:
        """Compute class scores (P, N, C) of h, in the mode of the last call."""
        return self.module.classify(h_PNH)

    def auxiliary(self, labels_PN: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return further losses (P,) of the last training batch, already weighted, and numbers (P,) to log."""
        return self.module.auxiliary(labels_PN)

    def center_scores(self, h_PNH: Tensor, temperature: float) -> Tensor:
        """Compute the cosine to each class centre over `temperature`, (P, N, C)."""
        return self.module.center_scores(h_PNH, temperature)

    def _ready(self, draws: Draws | None) -> Classifier:
        """Set the mode of all layers, and where they draw from."""
        if self.module.training is not (draws is not None):
            self.module.train(draws is not None)
        if draws is not None and draws is not self._draws:
            draw_masks_from(self.module, draws)
            self._draws = draws
        return self.module
