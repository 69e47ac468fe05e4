"""Step the fusion of all members' students: it joins their h, and may be their teacher.

Shape suffixes: S steps of an epoch, P members, B places of a batch, N rows of a split, M modalities, H width of h,
C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from mer.losses import Lesson, StudentsObjective
from mer.losses.distillation import taught_rows
from mer.losses.geometry import LANES
from mer.models.dropout import draw_masks_from
from mer.models.students import StudentsClassifier
from mer.training.distillation import DistillationRun
from mer.training.draws import Draws, stretch_of
from mer.training.packed.contrastive import pack_objectives
from mer.training.packed.model import PackedClassifier
from mer.training.packed.objective import Answers
from mer.training.packed.optimizer import Learning, PackedAdamW, groups_of
from mer.training.packed.placing import Placed
from mer.training.packed.stacked import weights_in_order
from mer.training.packed.student import PackedStudent

OWNER = "fusion"  # of groups of the optimiser


class FusedStudents:
    """Join the fusions of runs with several students.

    Args: model: of all members; its random layers draw from numbers of the fusion, until students take theirs.
    """

    def __init__(self, runs: Sequence[DistillationRun], model: PackedClassifier) -> None:
        self.runs, self.device = runs, runs[0].device
        self.module = cast(StudentsClassifier, model.module)
        self.draws = Draws(len(runs), self.device)
        draw_masks_from(self.module, self.draws)
        objectives = [cast(StudentsObjective, run.objective) for run in runs]
        self.objective = pack_objectives([objective.fused for objective in objectives], self.device)
        self.objective.weights = {
            name: self.objective.each([objective.weights[name] for objective in objectives], 1)
            for name in self.objective.weights
        }
        self.only_correct_P1 = torch.tensor([[run.distill.kd_filter == "correct_only"] for run in runs])
        self.only_correct_P1 = self.only_correct_P1.to(self.device)
        weights = weights_in_order(groups_of(runs[0].optimizer, OWNER), (runs[0].model, model.stack))
        optimizers = [run.optimizer for run in runs]
        self.optimizer = PackedAdamW(weights, optimizers, [run.config.optim.clip_norm for run in runs], owner=OWNER)
        self.rate_P = [groups_of(optimizer, OWNER)[0]["base_lr"] for optimizer in optimizers]
        self.labels_N = torch.tensor(runs[0].data.train.labels_N, device=self.device)

    # -- training ----------------------------------------------------------------------------------------------

    def begin_epoch(self, placed: Placed, reaches_P: np.ndarray) -> None:
        """Take the rows of the epoch's steps.

        Args: reaches_P: bool, members whose fused loss reaches their students.
        """
        self.reads_SP: np.ndarray = np.any(placed.there_SPB, axis=2)
        self.draws.begin([stretch_of(run.config.seed, run.epoch) for run in self.runs], len(self.reads_SP))
        self.there_SPB = torch.from_numpy(placed.there_SPB).to(self.device)
        self.y_SPB = self.labels_N[torch.from_numpy(placed.rows_SPB).to(self.device)]
        self.reaches_P11 = torch.from_numpy(reaches_P).view(-1, 1, 1).to(self.device) if reaches_P.any() else None
        learns = [np.broadcast_to(reads_P, (len(self.optimizer.weights), len(reads_P))) for reads_P in self.reads_SP]
        self.learning = [Learning.of(learns_WP, self.device) for learns_WP in learns]

    def answer(self, step: int, students: Sequence[PackedStudent], answers: Mapping[str, Answers]) -> Answers:
        """Join the students' h for the rows of a step."""
        self.draws.step = step
        parts, present = {}, []
        for student in students:
            own, inverse_PB = answers[student.modality], student.epoch.inverse_SPB[step]
            there_PB = torch.ones_like(inverse_PB, dtype=torch.bool) if own.there_PB is None else own.there_PB
            present.append(there_PB.gather(1, inverse_PB))
            h_PBH = own.h_PBH.gather(1, inverse_PB.unsqueeze(-1).expand_as(own.h_PBH))
            parts[student.modality] = self._reached(h_PBH).where(present[-1].unsqueeze(-1), 0.0)
        there_PB = self.there_SPB[step]
        joined = self.module.join(parts, torch.stack(present, dim=-1), counted_B=there_PB)
        h_PBH, logits_PBC = self.module.scored(joined)
        return Answers(h_PBH, logits_PBC, None, self.y_SPB[step], there_PB)

    def _reached(self, h_PBH: Tensor) -> Tensor:
        """Detach h of the members whose fused loss does not reach their students."""
        return h_PBH.detach() if self.reaches_P11 is None else torch.where(self.reaches_P11, h_PBH, h_PBH.detach())

    def lesson(self, step: int, fused: Answers, student: PackedStudent) -> Lesson:
        """Return what the fused head says of the rows of a student: self-distillation."""
        order_PB, there_PB = student.epoch.order_SPB[step], student.there(step)
        logits_PBC = fused.logits_PBC.detach()
        logits_PBC = logits_PBC.gather(1, order_PB.unsqueeze(-1).expand_as(logits_PBC))
        there_PB = torch.ones_like(order_PB, dtype=torch.bool) if there_PB is None else there_PB
        told = Lesson(logits_PBC, there_N=there_PB)
        y_PB = fused.y_PB  # a class, or numbers and labels in a further dimension
        places = order_PB if y_PB.ndim == 2 else order_PB.unsqueeze(-1).expand_as(y_PB)
        return told._replace(there_N=taught_rows(told, y_PB.gather(1, places), self.only_correct_P1))

    def losses(self, fused: Answers) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the fusion's loss of each member (P,), and its parts (P,), NaN for a member without any row."""
        loss_P, parts = self.objective(fused, self.draws)
        further, shown = self.module.auxiliary(fused.y_PB)
        assert fused.there_PB is not None
        reads_P = fused.there_PB.any(dim=1)
        shown = {f"loss_{name}": part for name, part in parts.items()} | shown
        return sum(further.values(), loss_P), {name: part.where(reads_P, torch.nan) for name, part in shown.items()}

    def update(self, rates_P: Tensor, step: int) -> Tensor:
        """Step the optimiser; return gradient norms (P,)."""
        return self.optimizer.step(rates_P, self.learning[step])

    # -- scores ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def dev_scores(self, students: Sequence[PackedStudent]) -> dict[str, np.ndarray]:
        """Compute class scores of dev (P, N, C) float32: of the fusion, without each modality, and of each student.

        Returns: "" -> the fusion's; modality -> its student's; "without_modality" -> the fusion's when it is absent.
        """
        told: dict[str, list[Tensor]] = {}
        members, size = len(self.runs), students[0].dev.size
        for given in zip(*(student.dev.chunks() for student in students), strict=True):
            rows_N = given[0][1]
            h, present = {}, []
            for student, (x_PNLD, _, _) in zip(students, given, strict=True):
                there_N = student.dev.present_N
                present.append(torch.ones_like(rows_N, dtype=torch.bool) if there_N is None else there_N[rows_N])
                h[student.modality] = student.model.represent(x_PNLD, present[-1])
                told.setdefault(student.modality, []).append(student.model.classify(h[student.modality]))
            first = students[0]
            nothing_P1H = first.model.represent(
                given[0][0][:, :LANES], torch.zeros_like(rows_N[:LANES], dtype=torch.bool)
            )
            for i, name in enumerate(["", *(f"without_{student.modality}" for student in students)]):
                present_NM = torch.stack(present, dim=-1)
                if i:
                    present_NM[:, i - 1] = False
                of_first = h[first.modality].where(present_NM[:, :1], nothing_P1H[:, :1])
                joined = self.module.join(h | {first.modality: of_first}, present_NM.expand(members, -1, -1))
                told.setdefault(name, []).append(self.module.scored(joined)[1])
        return {name: torch.cat(parts, dim=1)[:, :size].float().cpu().numpy() for name, parts in told.items()}
