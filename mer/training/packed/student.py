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
from mer.training.data import SplitArrays
from mer.training.distillation import DistillationRun
from mer.training.draws import Draws
from mer.training.packed.model import PackedClassifier
from mer.training.packed.objective import Answers
from mer.training.packed.optimizer import Learning, PackedAdamW, groups_of
from mer.training.packed.placing import Placed, readable_first
from mer.training.packed.rows import PackedRows
from mer.training.packed.stacked import weights_in_order
from mer.training.packed.student_objective import PackedStudentObjective
from mer.training.packed.teacher import PackedTeacher
from mer.training.run import stretch_of


class _Epoch(NamedTuple):
    """Hold what the steps of an epoch read, on the device.

    Args:
        reads_SP: bool on the host, the steps in which a member has rows that this student can read.
        there_SPB: None where every row is there.
        taught_SPB: the rows that the teacher teaches; None in self-distillation, whose teacher is not known yet.
        learning: for each step, which weights change.
    """

    reads_SP: np.ndarray
    rows_SPB: Tensor
    there_SPB: Tensor | None
    taught_SPB: Tensor | None
    learning: list[Learning | None]


class PackedStudent:
    """Join one student of each run.

    Args:
        modality: of the student.
        teacher: None in self-distillation.
    """

    epoch: _Epoch

    def __init__(self, runs: Sequence[DistillationRun], modality: str, teacher: PackedTeacher | None) -> None:
        self.runs, self.modality, self.teacher = runs, modality, teacher
        first, self.device = runs[0], runs[0].device
        models = [run.student(modality) for run in runs]
        objectives = [run.student_objective(modality) for run in runs]
        self.model = PackedClassifier(models)
        self.objective = PackedStudentObjective(objectives, self.device)
        stacks = (
            (models[0], self.model.stack),
            (objectives[0].base, self.objective.base.stack),
            (objectives[0].distillation, self.objective.stack),
        )
        optimizers = [run.optimizer for run in runs]
        clip_norms = [run.config.optim.clip_norm for run in runs]
        self.weights = weights_in_order(groups_of(first.optimizer, modality), *stacks)
        self.optimizer = PackedAdamW(self.weights, optimizers, clip_norms, owner=modality)
        self.rate_P = [groups_of(optimizer, modality)[0]["base_lr"] for optimizer in optimizers]
        layers, norms = [run.layers_of(modality) for run in runs], [model.input_norm for model in models]
        train, dev = (
            [cast(SplitArrays, run.parts_of(split)[modality]) for run, split in splits]
            for splits in ([(run, run.data.train) for run in runs], [(run, run.data.dev) for run in runs])
        )
        self.train, self.dev = (PackedRows(parts, layers, norms, self.device) for parts in (train, dev))
        self.present_N = train[0].present_N
        self.draws = Draws(len(runs), self.device)

    # -- training ----------------------------------------------------------------------------------------------

    def begin_epoch(self, placed: Placed) -> Placed:
        """Choose this student's rows of the epoch's steps. Returns: its places."""
        own = readable_first(placed, self.present_N)
        reads_SP: np.ndarray = np.any(own.there_SPB, axis=2)
        everywhere = self.present_N is None and own.there_SPB.all()
        taught_SPB = None if self.teacher is None else self.teacher.taught(own)
        self.draws.begin([stretch_of(run.config.seed, run.epoch, self.modality) for run in self.runs], len(reads_SP))
        on_device = [
            None if x is None else torch.from_numpy(x).to(self.device)
            for x in (own.rows_SPB, None if everywhere else own.there_SPB, taught_SPB)
        ]
        rows_SPB, there_SPB, taught_on_device = on_device
        assert rows_SPB is not None
        self.epoch = _Epoch(reads_SP, rows_SPB, there_SPB, taught_on_device, self._learning(reads_SP, taught_SPB))
        return own

    def answer(self, step: int) -> Answers:
        """Run the model on the rows of a step."""
        self.draws.step = step
        there_PB = None if self.epoch.there_SPB is None else self.epoch.there_SPB[step]
        x_PBLD, y_PB = self.train.batch(self.epoch.rows_SPB[step])
        h_PBH = self.model.represent(x_PBLD, self.draws)
        return Answers(h_PBH, self.model.classify(h_PBH, self.draws), None, y_PB, there_PB)

    def lesson(self, step: int) -> Lesson:
        """Return what the teacher says of the rows of a step."""
        assert self.teacher is not None and self.epoch.taught_SPB is not None
        return self.teacher.lesson(self.epoch.rows_SPB[step], self.epoch.taught_SPB[step])

    def losses(self, answers: Answers, lesson: Lesson, share_P: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of each member (P,), and its parts (P,)."""
        return self.objective(answers, lesson, share_P, self.draws)

    def update(self, answers: Answers, rates_P: Tensor, step: int) -> Tensor:
        """Step the optimiser and the prototypes; return gradient norms (P,)."""
        norm_P = self.optimizer.step(rates_P, self.epoch.learning[step])
        self.objective.base.after_step(answers, self.draws)
        return norm_P

    def _learning(self, reads_SP: np.ndarray, taught_SPB: np.ndarray | None) -> list[Learning | None]:
        """Say for each step which weights have a gradient: those that a loss of this step reaches."""
        probe = self.runs[0].config.loss.classification.probe
        compares_SP = reads_SP if taught_SPB is None else taught_SPB.sum(axis=2) >= FEWEST_ROWS
        shaped = not probe or self.runs[0].config.loss.contrastive.kind != "none"
        kinds = {
            "body": reads_SP if shaped else reads_SP & compares_SP,
            "classifier": reads_SP,
            "projection": compares_SP,
        }
        learns_SWP = np.stack([kinds[kind] for kind in self._kinds()], axis=1)
        return [Learning.of(learns_WP, self.device) for learns_WP in learns_SWP]

    def _kinds(self) -> list[str]:
        """Name for each weight what decides whether a step reaches it."""
        kinds = {id(weight): "projection" for weight in self.objective.stack.weights.values()}
        kinds |= {
            id(weight): "classifier" if name.startswith("classifier.") else "body"
            for name, weight in self.model.stack.weights.items()
        }
        return [kinds.get(id(weight), "body") for weight in self.weights]

    # -- scores ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def dev_scores(self) -> np.ndarray:
        """Compute class scores of dev for every member, (P, N, C) float32."""
        parts = []
        for x_PNLD, rows_N, _ in self.dev.chunks():
            present_N = None if self.dev.present_N is None else self.dev.present_N[rows_N]
            parts.append(self.model.classify(self.model.represent(x_PNLD, None, present_N), None).float().cpu())
        scores: np.ndarray = torch.cat(parts, dim=1)[:, : self.dev.size].numpy()
        return scores
