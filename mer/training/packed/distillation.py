"""Train several distillations of one shape as one program: one student of each run, or several and their fusion.

Shape suffixes: S steps of an epoch, P members, N rows of a split, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from mer.losses import Lesson
from mer.training.distillation import DistillationRun
from mer.training.epoch_row import scores_without
from mer.training.member import Row
from mer.training.packed.fused_students import OWNER, FusedStudents
from mer.training.packed.model import PackedClassifier
from mer.training.packed.objective import Answers
from mer.training.packed.placing import place, readable_first
from mer.training.packed.run import Pack
from mer.training.packed.student import PackedStudent
from mer.training.packed.teacher import PackedTeacher
from mer.training.scores import AnyScores


class DistillationPack(Pack):
    """Step P runs with students together."""

    runs: list[DistillationRun]  # type: ignore[assignment]

    def _join(self) -> None:
        first = self.runs[0]
        self.model = PackedClassifier([run.model for run in self.runs])
        self.fusion = FusedStudents(self.runs, self.model) if first.is_merged else None
        teacher = None
        if first.data.teacher:
            only_correct = [run.distill.kd_filter == "correct_only" for run in self.runs]
            told, labels_N = first.data.teacher["train"], first.data.train.labels_N
            teacher = PackedTeacher(told, labels_N, only_correct, self.device)
        self.students = [PackedStudent(self.runs, modality, self.model, teacher) for modality in first.modalities]
        self.owners: dict[str, PackedStudent | FusedStudents] = {of.modality: of for of in self.students}
        self.owners |= {OWNER: self.fusion} if self.fusion is not None else {}
        self.readable_N = np.any([student.readable_N for student in self.students], axis=0)

    # -- the loop ----------------------------------------------------------------------------------------------

    def _train(self) -> tuple[list[dict[str, Tensor]], list[float]]:
        placed = readable_first(place(self._drawn_rows()), self.readable_N)
        steps = len(placed.rows_SPB)
        self.reads_SP: np.ndarray = np.any(placed.there_SPB, axis=2)
        reached_P = np.array([run.fusion_reaches_students for run in self.runs])
        for owner in self.owners.values():
            owner.begin_epoch(placed, reached_P)
        rates = {name: self._rates(owner.rate_P, steps) for name, owner in self.owners.items()}
        share_SP = self._shares(steps)
        self.model.module.train()
        told = [
            self._distill(step, share_SP[step], {name: rates_SP[step] for name, rates_SP in rates.items()})
            for step in range(steps)
        ]
        for owner in self.owners.values():
            owner.optimizer.settle()
        return told, next(iter(rates.values()))[-1].tolist()

    def _shares(self, steps: int) -> Tensor:
        """Return the warm-up factors of an epoch's steps, (S, P)."""
        shares = [[run.share(run.step_count + step) for run in self.runs] for step in range(steps)]
        return torch.tensor(shares, dtype=torch.float64, device=self.device)

    def _distill(self, step: int, share_P: Tensor, rates: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Update every member's weights once; return loss, gradient norms and loss parts (P,), still on the device."""
        answers = {student.modality: student.answer(step) for student in self.students}
        losses: list[Tensor] = []
        shown: dict[str, Tensor] = {}
        fused = None
        if self.fusion is not None:
            fused = self.fusion.answer(step, self.students, answers)
            loss_P, shown = self.fusion.losses(fused)
            losses.append(loss_P)
        for student in self.students:
            lesson = self._lesson(step, student, fused)
            loss_P, parts = student.losses(answers[student.modality], lesson, share_P)
            losses.append(loss_P)
            shown |= {f"loss_{name}{self._suffix(student.modality)}": part for name, part in parts.items()}
        total_P = torch.stack(losses, dim=1).sum(1)
        total_P.sum().backward()
        norms = {
            f"grad_norm{self._suffix(name)}": owner.update(rates[name], step) for name, owner in self.owners.items()
        }
        for student in self.students:
            student.after_step(answers[student.modality])
        for run in self.runs:
            run.count_step()
        return {"loss": total_P.detach()} | norms | shown

    def _lesson(self, step: int, student: PackedStudent, fused: Answers | None) -> Lesson:
        """Return what the teacher says of a student's rows: an exported model, or the fused head."""
        if self.fusion is None or fused is None or student.teacher is not None:
            return student.lesson(step)
        return self.fusion.lesson(step, fused, student)

    def _suffix(self, owner: str) -> str:
        return "" if self.fusion is None else f"_{owner}"

    def _happened(self, name: str, values_S: np.ndarray, k: int) -> np.ndarray:
        if name == "loss":
            return self.reads_SP[:, k]
        if name.startswith("grad_norm"):
            return next(owner.reads_SP for of, owner in self.owners.items() if name == f"grad_norm{self._suffix(of)}")[
                :, k
            ]
        return ~np.isnan(values_S)

    # -- scores ------------------------------------------------------------------------------------------------

    def _dev_scores(self) -> np.ndarray:
        self.model.module.eval()
        if self.fusion is None:
            return self.students[0].dev_scores()
        self.dev_scores = self.fusion.dev_scores(self.students)
        return self.dev_scores[""]

    def _further_scores(self, k: int, scores: AnyScores) -> Row:
        run = self.runs[k]
        if self.fusion is None:
            return run.agreement("", scores)
        dev = run.data.dev
        row = scores_without({m: run.scores(self.dev_scores[f"without_{m}"][k], dev) for m in run.modalities})
        for modality in run.modalities:
            row |= run.student_row(modality, run.scores(self.dev_scores[modality][k], dev))
        return row
