"""What a run changes while it trains, copied out and put back: weights, optimiser, averages, its member."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from mer.checkpoints.tensors import clone, prefixed, under
from mer.losses import Objective
from mer.training.averaging import WeightAverage
from mer.training.member import HasMember
from mer.training.optimizer import load_optimizer_tensors, optimizer_tensors
from mer.training.unimodal import UnimodalTeacher


class TrainingState(HasMember):
    """Hold all that a run must have again to go on exactly. Random numbers are no part of it: epochs are named.

    Attributes:
        model, objective: the modules whose weights predict.
        optimizer: of their trained weights.
        average: of these weights, moving or SWA's; None where none is kept.
        unimodal: labels that training makes for single modalities; None where it makes none.
    """

    model: Any
    objective: Objective
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None
    unimodal: UnimodalTeacher | None

    @property
    def step_count(self) -> int:
        """Steps that are done."""
        return self.member.step_count

    def count_step(self) -> None:
        """Count a step, and tell the averages of the weights that it gave."""
        self.member.step_count += 1
        if self.average is not None:
            self.average.update()

    def end_steps(self) -> None:
        """Tell the averages that the steps of the present epoch are done."""
        if self.average is not None:
            self.average.end_epoch(self.epoch)

    def averaged(self) -> AbstractContextManager[None]:
        """Put the averaged weights into the model inside the block, where there are any: dev is scored with them."""
        return nullcontext() if self.average is None else self.average.in_place()

    def weights(self) -> dict[str, Tensor]:
        """Return all that prediction needs: model and objective (anchors, prototypes), by name."""
        return prefixed("model", self.model.state_dict()) | prefixed("objective", self.objective.state_dict())

    def load_weights(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `weights` gave."""
        self.model.load_state_dict(under("model", tensors))
        self.objective.load_state_dict(under("objective", tensors))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Copy everything needed to go on exactly: tensors (the best epoch's too), and a JSON-able card."""
        tensors = clone(self.weights() | prefixed("optimizer", optimizer_tensors(self.optimizer)))
        tensors |= clone(prefixed("average", self.average.tensors())) if self.average is not None else {}
        tensors |= clone(prefixed("unimodal", self.unimodal.labels.tensors())) if self.unimodal is not None else {}
        bests, card = self.member.state()
        return tensors | bests, card

    def load_state(self, tensors: dict[str, Tensor], card: dict[str, Any]) -> None:
        """Go on from what `state` gave. Raises: MerError when it belongs to another configuration."""
        self.member.load_state(tensors, card)
        self.load_weights(tensors)
        load_optimizer_tensors(self.optimizer, under("optimizer", tensors))
        if self.average is not None:
            self.average.load(under("average", tensors))
        if self.unimodal is not None:
            self.unimodal.labels.load(under("unimodal", tensors))
