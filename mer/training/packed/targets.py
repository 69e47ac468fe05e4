"""Take the losses of numbers, or of several labels, of all members of a pack at once.

Shape suffixes: P members, B batch rows, C numbers or labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mer.losses.targets import MultilabelObjective, RegressionObjective, multilabel_loss, regression_loss
from mer.training.draws import Draws
from mer.training.packed.objective import Answers, PackedObjective


class PackedRegression(PackedObjective):
    """Losses of numbers, of one kind; Huber's place of turning may differ."""

    def __init__(self, objectives: Sequence[RegressionObjective], device: str) -> None:
        self.objectives, self.device = list(objectives), device
        self.scale_PC = torch.stack([objective.scale_T for objective in objectives])
        self.dtype = self.scale_PC.dtype
        self.stack_all()
        self.kind = objectives[0].config.kind
        self.delta = self.each([objective.config.huber_delta for objective in objectives], 3)

    def parts(self, answers: Answers, draws: Draws) -> dict[str, Tensor]:
        loss_P = regression_loss(
            answers.logits_PBC,
            answers.y_PB,
            self.scale_PC,
            kind=self.kind,
            delta=self.delta,
            there_N=answers.there_PB,
        )
        return {RegressionObjective.supervised: loss_P}


class PackedMultilabel(PackedObjective):
    """Binary cross-entropies; weights of labels may differ."""

    def __init__(self, objectives: Sequence[MultilabelObjective], device: str) -> None:
        self.objectives, self.device = list(objectives), device
        self.pos_weight_PC = torch.stack([objective.pos_weight_T for objective in objectives])
        self.dtype = self.pos_weight_PC.dtype
        self.stack_all()

    def parts(self, answers: Answers, draws: Draws) -> dict[str, Tensor]:
        loss_P = multilabel_loss(answers.logits_PBC, answers.y_PB, self.pos_weight_PC, there_N=answers.there_PB)
        return {MultilabelObjective.supervised: loss_P}
