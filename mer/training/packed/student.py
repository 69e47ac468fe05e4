"""Step one student of all members: its model, its losses, its rows and its optimiser.

Shape suffixes: S steps of an epoch, P members, B places of a batch, N rows of a split, L stored layers, D encoder
width, H width of h, C classes, W weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from mer.losses.distillation import FEWEST_ROWS, Lesson
from mer.models.dropout import draw_masks_from
from mer.models.students import StudentsClassifier
from mer.training.data import SplitArrays
from mer.training.distillation import DistillationRun
from mer.training.draws import Draws, stretch_of
from mer.training.packed.model import PackedClassifier
from mer.training.packed.objective import Answers
from mer.training.packed.optimizer import Learning, PackedAdamW, groups_of
from mer.training.packed.placing import Placed, readable_first
from mer.training.packed.rows import PackedRows
from mer.training.packed.stacked import weights_in_order
from mer.training.packed.student_objective import PackedStudentObjective
from mer.training.packed.teacher import PackedTeacher


class _Epoch(NamedTuple):
    """Hold what the steps of an epoch read, on the device.

    Args:
        there_SPB: None where every row is there.
        taught_SPB: the rows that the teacher teaches; None in self-distillation, whose teacher is not known yet.
        order_SPB: for each place, the one that its row has in the whole batch; inverse_SPB: the other way.
        learning: for each step, which weights change.
    """

    rows_SPB: Tensor
    there_SPB: Tensor | None
    taught_SPB: Tensor | None
    order_SPB: Tensor
    inverse_SPB: Tensor
    learning: list[Learning | None]


class PackedStudent:
    """Join one student of each run.

    Args:
        modality: of the student.
        model: the whole models of the runs; the student may be one of several in them.
        teacher: None in self-distillation.
    """

    epoch: _Epoch

    def __init__(
        self,
        runs: Sequence[DistillationRun],
        modality: str,
        model: PackedClassifier,
        teacher: PackedTeacher | None,
    ) -> None:
        self.runs, self.modality, self.teacher = runs, modality, teacher
        first, self.device = runs[0], runs[0].device
        whole = model.module
        self.model = whole.student(modality) if isinstance(whole, StudentsClassifier) else whole
        models = [run.student(modality) for run in runs]
        objectives = [run.student_objective(modality) for run in runs]
        self.objective = PackedStudentObjective(objectives, self.device)
        self.groups = groups_of(first.optimizer, modality)
        stacks = ((first.model, model.stack), (objectives[0].distillation, self.objective.stack))
        optimizers = [run.optimizer for run in runs]
        clip_norms = [run.config.optim.clip_norm for run in runs]
        self.optimizer = PackedAdamW(weights_in_order(self.groups, *stacks), optimizers, clip_norms, owner=modality)
        weights = [run.distill.student(modality).weight for run in runs]
        self.weight_P = torch.tensor(weights, dtype=torch.float64, device=self.device)
        self.rate_P = [groups_of(optimizer, modality)[0]["base_lr"] for optimizer in optimizers]
        layers, norms = [run.layers_of(modality) for run in runs], [model.input_norm for model in models]
        train, dev = (
            [cast(SplitArrays, run.parts_of(split)[modality]) for run, split in splits]
            for splits in ([(run, run.data.train) for run in runs], [(run, run.data.dev) for run in runs])
        )
        self.train, self.dev = (PackedRows(parts, layers, norms, self.device) for parts in (train, dev))
        self.readable_N = np.ones(len(train[0]), dtype=bool) if train[0].present_N is None else train[0].present_N
        self.draws = Draws(len(runs), self.device)
        draw_masks_from(self.model, self.draws)

    # -- training ----------------------------------------------------------------------------------------------

    def begin_epoch(self, placed: Placed, reached_P: np.ndarray) -> None:
        """Choose this student's rows of the epoch's steps.

        Args:
            placed: the rows of whole batches.
            reached_P: bool, members whose fused loss reaches this student.
        """
        own = readable_first(placed, self.readable_N)
        self.draws.begin(
            [stretch_of(run.config.seed, run.epoch, self.modality) for run in self.runs], len(own.rows_SPB)
        )
        everywhere = self.readable_N.all() and own.there_SPB.all()
        taught_SPB = None if self.teacher is None else self.teacher.taught(own)
        self.reads_SP: np.ndarray = np.any(own.there_SPB, axis=2)
        self.epoch = _Epoch(
            self._on_device(own.rows_SPB),
            None if everywhere else self._on_device(own.there_SPB),
            None if taught_SPB is None else self._on_device(taught_SPB),
            self._on_device(own.order_SPB),
            self._on_device(np.argsort(own.order_SPB, axis=2)),
            self._learning(self.reads_SP, taught_SPB, reached_P),
        )

    def _on_device(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(x)).to(self.device)

    def answer(self, step: int) -> Answers:
        """Run the model on the rows of a step."""
        self.draws.step = step
        x_PBLD, y_PB = self.train.batch(self.epoch.rows_SPB[step])
        h_PBH, logits_PBC = self.model(x_PBLD)
        return Answers(h_PBH, logits_PBC, None, y_PB, self.there(step))

    def there(self, step: int) -> Tensor | None:
        """Say which places of a step have a row that this student reads, bool (P, B); None: all."""
        return None if self.epoch.there_SPB is None else self.epoch.there_SPB[step]

    def lesson(self, step: int) -> Lesson:
        """Return what the teacher says of the rows of a step."""
        assert self.teacher is not None and self.epoch.taught_SPB is not None
        return self.teacher.lesson(self.epoch.rows_SPB[step], self.epoch.taught_SPB[step])

    def losses(self, answers: Answers, lesson: Lesson, share_P: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of each member (P,), and its parts (P,)."""
        loss_P, parts = self.objective(answers, lesson, share_P, self.draws)
        return self.weight_P.to(loss_P) * loss_P, parts

    def update(self, rates_P: Tensor, step: int) -> Tensor:
        """Step the optimiser; return gradient norms (P,)."""
        return self.optimizer.step(rates_P, self.epoch.learning[step])

    def after_step(self, answers: Answers) -> None:
        """Let prototypes learn from the rows of a step."""
        self.objective.base.after_step(answers, self.draws)

    def _learning(
        self, reads_SP: np.ndarray, taught_SPB: np.ndarray | None, reached_P: np.ndarray
    ) -> list[Learning | None]:
        """Say for each step which weights have a gradient: those that a loss of this step reaches."""
        loss = self.runs[0].config.loss
        compares_SP = reads_SP if taught_SPB is None else taught_SPB.sum(axis=2) >= FEWEST_ROWS
        shaped_SP = compares_SP | reached_P | (not loss.classification.probe or loss.contrastive.kind != "none")
        kinds = {"body": reads_SP & shaped_SP, "classifier": reads_SP, "projection": compares_SP}
        learns_SWP = np.stack([kinds[kind] for kind in self._kinds()], axis=1)
        return [Learning.of(learns_WP, self.device) for learns_WP in learns_SWP]

    def _kinds(self) -> list[str]:
        """Name for each weight what decides whether a step reaches it."""
        first = self.runs[0]
        projection = {id(p) for p in first.student_objective(self.modality).distillation.parameters()}
        classifier = {id(p) for p in first.student(self.modality).classifier.parameters()}
        weights = [id(p) for group in self.groups for p in group["params"]]
        return ["projection" if p in projection else "classifier" if p in classifier else "body" for p in weights]

    # -- scores ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def dev_scores(self) -> np.ndarray:
        """Compute class scores of dev for every member, (P, N, C) float32."""
        parts = []
        for x_PNLD, rows_N, _ in self.dev.chunks():
            present_N = None if self.dev.present_N is None else self.dev.present_N[rows_N]
            parts.append(self.model(x_PNLD, present_N)[1].float().cpu())
        scores: np.ndarray = torch.cat(parts, dim=1)[:, : self.dev.size].numpy()
        return scores
