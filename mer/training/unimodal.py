"""Teach single modalities by labels that training makes for them (`fusion.kind: self_mm`): who keeps them in a run."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mer.config import SelfMMFusion, TrialConfig
from mer.losses.unimodal import FUSED, Seen, UnimodalLabels, signed
from mer.models.fusion import Fused
from mer.training.data import Split


class UnimodalTeacher:
    """Hold the labels of each modality of a training split, and what the step at hand saw.

    Args:
        fusion: of the model.
        labels: of the rows.
    """

    def __init__(self, fusion: SelfMMFusion, labels: UnimodalLabels) -> None:
        self.weight, self.labels = fusion.unimodal_weight, labels
        self._saw: tuple[Tensor, dict[str, Seen]] | None = None

    def losses(
        self, rows_B: np.ndarray, fused: Fused, counted_B: Tensor | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute the weighted losses of what each modality says by itself, and numbers to log, those included.

        Args:
            rows_B: numbers of the training rows.
            fused: what the fusion gave for them.
            counted_B: bool, the rows that count; None: all.
        """
        rows = torch.from_numpy(rows_B).to(fused.h_BD.device)
        every_B = torch.ones_like(rows, dtype=torch.bool) if counted_B is None else counted_B
        saw = {FUSED: Seen(fused.h_BD.detach(), every_B)}
        losses: dict[str, Tensor] = {}
        shown: dict[str, Tensor] = {}
        for modality, (said_BT, present_B) in fused.own_logits.items():
            there_B = present_B & every_B
            saw[modality] = Seen(fused.own_vectors[modality].detach(), there_B)
            loss, moved = self.labels.loss(modality, rows, said_BT, there_B)
            losses[f"unimodal_{modality}"] = loss = self.weight * loss
            told = {f"loss_unimodal_{modality}": loss.detach(), f"label_move_{modality}": moved.detach()}
            shown |= {name: value.where(there_B.any(), torch.nan) for name, value in told.items()}
        self._saw = (rows, saw)
        return losses, shown

    def after_step(self, epoch: int) -> None:
        """Move the labels by what the step saw. Args: epoch: counted from 1."""
        if self._saw is not None:
            (rows, saw), self._saw = self._saw, None
            self.labels.move(rows, saw, epoch)


def unimodal_teacher(config: TrialConfig, split: Split, names: int, device: str) -> UnimodalTeacher | None:
    """Build what a configuration asks for; None where single modalities are not taught.

    Args:
        split: that is trained on.
        names: number of classes, numbers or labels.
    """
    fusion = config.fusion
    if not isinstance(fusion, SelfMMFusion) or not fusion.unimodal_weight:
        return None
    truth = signed(torch.from_numpy(np.array(split.labels_N)), config.data.task, names)
    truth = truth._replace(y_NT=truth.y_NT.to(device), bound_T=truth.bound_T.to(device))
    widths = dict.fromkeys(config.encoders.present, fusion.own_width)
    return UnimodalTeacher(fusion, UnimodalLabels(truth, {FUSED: fusion.width, **widths}))
