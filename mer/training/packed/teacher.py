"""Hold a teacher's outputs for the training rows, as the students of all members read them.

Shape suffixes: S steps of an epoch, P members, B places of a batch, N rows of a split, C classes, K width of the
teacher's h.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mer.losses.distillation import Lesson, taught_rows
from mer.training.data import TeacherOutputs
from mer.training.packed.placing import Placed


class PackedTeacher:
    """Give lessons for each member's rows.

    Args:
        told: the teacher's outputs for the training split.
        labels_N: of the training split.
        only_correct: for each member, whether rows whose label the teacher does not predict are left out.
    """

    def __init__(self, told: TeacherOutputs, labels_N: np.ndarray, only_correct: list[bool], device: str) -> None:
        there_N = np.ones(len(labels_N), dtype=bool) if told.present_N is None else told.present_N
        logits_NC, h_NK = (np.where(there_N[:, None], x, 0.0).astype(np.float32) for x in (told.logits_NC, told.h_NK))
        self.logits_NC, self.h_NK = (torch.from_numpy(x).to(device) for x in (logits_NC, h_NK))
        lesson = Lesson(torch.from_numpy(logits_NC), there_N=torch.from_numpy(there_N))
        right_N = taught_rows(lesson, torch.tensor(labels_N), True)
        assert right_N is not None
        self._taught_PN = np.stack([right_N.numpy() if correct else there_N for correct in only_correct])

    def taught(self, placed: Placed) -> np.ndarray:
        """Say which rows of an epoch's steps the teacher teaches, bool (S, P, B)."""
        members_P1 = np.arange(len(self._taught_PN))[:, None]
        taught_SPB: np.ndarray = self._taught_PN[members_P1, placed.rows_SPB] & placed.there_SPB
        return taught_SPB

    def lesson(self, rows_PB: Tensor, taught_PB: Tensor) -> Lesson:
        """Return the teacher's outputs for these rows, and which of them it teaches."""
        return Lesson(self.logits_NC[rows_PB], self.h_NK[rows_PB], taught_PB)
