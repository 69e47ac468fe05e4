"""Train several distillations of one shape as one program.

Shape suffixes: S steps of an epoch, P members, N rows of a split, C classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mer.training.distillation import DistillationRun
from mer.training.member import Row
from mer.training.metrics import Scores
from mer.training.packed.placing import place
from mer.training.packed.run import Pack
from mer.training.packed.student import PackedStudent
from mer.training.packed.teacher import PackedTeacher


class DistillationPack(Pack):
    """Step P runs of a student together."""

    runs: list[DistillationRun]  # type: ignore[assignment]

    def _join(self) -> None:
        first = self.runs[0]
        told = first.data.teacher["train"]
        only_correct = [run.distill.kd_filter == "correct_only" for run in self.runs]
        teacher = PackedTeacher(told, first.data.train.labels_N, only_correct, self.device)
        self.student = PackedStudent(self.runs, first.modalities[0], teacher)

    def _train(self) -> tuple[list[dict[str, Tensor]], list[float]]:
        placed = place(self._drawn_rows())
        self.student.begin_epoch(placed)
        rates_SP, share_SP = self._rates(self.student.rate_P, len(placed.rows_SPB)), self._shares(len(placed.rows_SPB))
        told = [self._distill(step, rates_SP[step], share_SP[step]) for step in range(len(placed.rows_SPB))]
        self.student.optimizer.settle()
        return told, rates_SP[-1].tolist()

    def _shares(self, steps: int) -> Tensor:
        """Return the warm-up factors of an epoch's steps, (S, P)."""
        shares = [[run.share(run.step_count + step) for run in self.runs] for step in range(steps)]
        return torch.tensor(shares, dtype=torch.float64, device=self.device)

    def _distill(self, step: int, rates_P: Tensor, share_P: Tensor) -> dict[str, Tensor]:
        """Update every member's weights once; return loss, gradient norm and loss parts (P,), still on the device."""
        answers = self.student.answer(step)
        loss_P, parts = self.student.losses(answers, self.student.lesson(step), share_P)
        loss_P.sum().backward()
        norm_P = self.student.update(answers, rates_P, step)
        for run in self.runs:
            run.count_step()
        return {"loss": loss_P.detach(), "grad_norm": norm_P} | {f"loss_{name}": part for name, part in parts.items()}

    def _happened(self, name: str, values_S: np.ndarray, k: int) -> np.ndarray:
        if name in ("loss", "grad_norm"):
            return self.student.epoch.reads_SP[:, k]
        return ~np.isnan(values_S)

    # -- scores ------------------------------------------------------------------------------------------------

    def _dev_scores(self) -> np.ndarray:
        return self.student.dev_scores()

    def _further_scores(self, k: int, scores: Scores) -> Row:
        return self.runs[k].agreement("", scores)
