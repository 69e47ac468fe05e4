"""Take the losses of all members of a pack at once; settings may differ, switches may not.

Each member keeps its ordinary objective, whose pools, prototypes and maps are views of the stacked ones.

Shape suffixes: P members, B batch rows, C classes, H width of h.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mer.losses import Objective
from mer.losses.classification import classification_loss
from mer.training.draws import Draws
from mer.training.packed.stacked import Stacked


class Answers(NamedTuple):
    """Hold the outputs of all members for a batch, and its labels."""

    h_PBH: Tensor  # representation that the contrastive losses act on
    logits_PBC: Tensor  # class scores
    anchors_PCH: Tensor | None  # representation of the label words; EACL only
    y_PB: Tensor  # labels, int64; of numbers or several labels (P, B, C)
    there_PB: Tensor | None  # bool, False for rows that only fill the batch; None: all count


class PackedObjective:
    """Classification loss alone, and the base of the others.

    Args: objectives: the members' own, of one class.
    """

    needs_centers = False
    dtype: torch.dtype  # of settings

    lone: frozenset[str] = frozenset()  # buffers that subclasses stack by themselves

    def __init__(self, objectives: Sequence[Objective], device: str) -> None:
        self.objectives, self.device = list(objectives), device
        configs = [objective.classification.config for objective in objectives]
        self.weight_PC = torch.stack([objective.classification.weight_C for objective in objectives])
        self.shift_PC = torch.stack([objective.classification.shift_C for objective in objectives])
        self.dtype = self.weight_PC.dtype
        smoothing_P1 = self.each([config.label_smoothing for config in configs], 2)
        self.smoothing: Any = smoothing_P1 if any(config.label_smoothing for config in configs) else 0.0
        self.focal_gamma = (
            self.each([config.focal_gamma for config in configs], 2) if configs[0].kind == "focal" else None
        )
        self.stack_all()

    def stack_all(self) -> None:
        """Stack what the objectives hold, and the weights of their parts."""
        self.stack = Stacked(self.objectives, self.lone)
        names = self.objectives[0].weights
        self.weights = {name: self.each([o.weights[name] for o in self.objectives], 1) for name in names}

    def each(self, values: Sequence[float], dims: int) -> Tensor:
        """Hold one number for each member, shaped to broadcast against tensors of `dims` axes."""
        shape = (-1, *[1] * (dims - 1))
        return torch.tensor(values, dtype=self.dtype, device=self.device).view(shape)

    def __call__(self, answers: Answers, draws: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of each member (P,), and its unweighted parts by name (P,), detached."""
        parts = self.parts(answers, draws)
        total_P = torch.stack([self.weights[name] * part for name, part in parts.items()], dim=1).sum(1)
        return total_P, {name: part.detach() for name, part in parts.items()}

    def parts(self, answers: Answers, draws: Draws) -> dict[str, Tensor]:
        return {
            "classification": classification_loss(
                answers.logits_PBC,
                answers.y_PB,
                self.weight_PC,
                self.shift_PC,
                smoothing=self.smoothing,
                focal_gamma=self.focal_gamma,
                there_N=answers.there_PB,
            )
        }

    def start_epoch(self, centers_PCH: Tensor) -> None:
        """Take the class means of all training features, where `needs_centers`."""

    def after_step(self, answers: Answers, draws: Draws) -> None:
        """Let prototypes learn from the batch, after its loss was taken."""

    def anchor_scores(self, h_PNH: Tensor, anchors_PCH: Tensor) -> Tensor:
        raise ValueError("anchor scores need loss.contrastive.kind 'eacl'")
