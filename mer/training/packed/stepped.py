"""The models, objectives and optimisers of several runs as one, and their step.

Shape suffixes: P members, B batch rows, H width of h, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mer.losses.adversarial import worsened
from mer.training.data import FusedBatch
from mer.training.draws import Draws
from mer.training.packed.contrastive import pack_objectives
from mer.training.packed.model import PackedClassifier
from mer.training.packed.objective import Answers
from mer.training.packed.optimizer import PackedAdamW
from mer.training.packed.rows import filled
from mer.training.packed.stacked import weights_in_order
from mer.training.run import TrainingRun


class Stepped:
    """Update the weights of several runs together. They share memory with it from now on.

    Attributes: train: gives the rows of a batch; subclasses set it.
    """

    runs: list[TrainingRun]
    device: str
    train: Any

    def join_weights(self, runs: Sequence[TrainingRun]) -> None:
        """Make one program of the runs' models, objectives and optimisers."""
        self.runs, first = list(runs), runs[0]
        self.device = first.device
        self.model = PackedClassifier([run.model for run in runs])
        self.objective = pack_objectives([run.objective for run in runs], self.device)
        self.optimizer = PackedAdamW(
            weights_in_order(
                first.optimizer.param_groups, (first.model, self.model.stack), (first.objective, self.objective.stack)
            ),
            [run.optimizer for run in runs],
            [run.config.optim.clip_norm for run in runs],
        )
        self.draws = Draws(len(runs), self.device)
        moves = [run.config.loss.adversarial for run in runs]
        self.adversarial_P = self.objective.each([move.weight for move in moves], 1)
        self.epsilon_P11 = self.objective.each([move.epsilon for move in moves], 3)

    def follow(self) -> None:
        """Lie in the memory of another program that has taken these runs, one behind the other, and others beside."""
        self.model.stack.follow()
        self.objective.stack.follow()
        self.optimizer.follow()

    def step(self, rows_PB: Tensor, rates_P: Tensor, step: int) -> dict[str, Tensor]:
        """Update every member's weights once; return loss, gradient norm and loss parts (P,), still on the device."""
        self.draws.step = step
        rows_PB, there_PB = filled(rows_PB)
        x, y_PB = self.train.batch(rows_PB)
        if isinstance(x, FusedBatch):
            x = x._replace(counted_B=there_PB)
        h_PBH, logits_PBC = self.model(x, self.draws)
        answers = Answers(h_PBH, logits_PBC, self.anchors(), y_PB, there_PB)
        loss_P, parts = self.objective(answers, self.draws)
        further, shown = self.model.auxiliary(y_PB)
        if self.runs[0].config.loss.adversarial.weight:
            parts["adversarial"] = self._loss_when_moved(answers, loss_P)
            loss_P = loss_P + self.adversarial_P * parts["adversarial"]
            parts["adversarial"] = parts["adversarial"].detach()
        loss_P = sum(further.values(), loss_P)
        loss_P.sum().backward()
        norm_P = self.optimizer.step(rates_P)
        self.objective.after_step(answers, self.draws)
        for run in self.runs:
            run.count_step()
        shown = {f"loss_{name}": part for name, part in parts.items()} | shown
        return {"loss": loss_P.detach(), "grad_norm": norm_P} | shown

    def anchors(self) -> Tensor | None:
        """Represent the label words by each member's model, (P, C, H), with gradient; None where no loss reads them."""
        return None

    def _loss_when_moved(self, answers: Answers, loss_P: Tensor) -> Tensor:
        """Take the objective's loss once more, (P,), at h moved against each model."""
        h_PBH = worsened(loss_P, answers.h_PBH, self.epsilon_P11)
        self.optimizer.forget()
        moved = answers._replace(h_PBH=h_PBH, logits_PBC=self.model.classify(h_PBH))
        return self.objective(moved, self.draws)[0]
