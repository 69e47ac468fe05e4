"""Knowledge review, Chen et al. 2021 (arXiv 2104.09044): a student's stages are reviewed from the last to the first.

Published for pictures: attention-based fusion (ABF) joins each stage of the student with the review of the later ones,
and the hierarchical context loss (HCL) compares it with the teacher's stage at several resolutions. Here a stage is a
hidden state, and its one axis is time: tokens or frames, averaged over equal parts of it.

Shape suffixes: N rows, S stages, P parts of time, D width of the student's hidden states, K of the teacher's, M
between.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer.losses.geometry import full_precision
from mer.tensor_math import at_least_single

_WIDEST = 512  # of the review that is passed from stage to stage


class Review(nn.Module):
    """The loss of a student's stages against its teacher's, with the layers that make them alike.

    The layers are of the loss: no prediction reads them. Their batch norms use the batch at hand, as in training.

    Args:
        stages: S, of both, from the first to the last.
        width, teacher_width: D and K.
    """

    def __init__(self, stages: int, width: int, teacher_width: int) -> None:
        super().__init__()
        middle = min(_WIDEST, width)
        self.fusions = nn.ModuleList(
            StageFusion(width, middle, teacher_width, reviews=stage < stages - 1) for stage in range(stages)
        )

    def forward(self, student_NSPD: Tensor, teacher_NSPK: Tensor) -> Tensor:
        """Return the sum of the stages' losses, scalar. Raises: ValueError for another number of stages or parts."""
        if student_NSPD.shape[:3] != teacher_NSPK.shape[:3] or student_NSPD.shape[1] != len(self.fusions):
            raise ValueError(f"{len(self.fusions)} stages, got {student_NSPD.shape[:3]} and {teacher_NSPK.shape[:3]}")
        with full_precision(student_NSPD):
            student_NSPD = at_least_single(student_NSPD)
            teacher_NSPK = at_least_single(teacher_NSPK.detach()).to(student_NSPD)
            losses, review_NMP = [], None
            for stage in reversed(range(len(self.fusions))):
                made_NKP, review_NMP = self.fusions[stage](student_NSPD[:, stage].mT, review_NMP)
                losses.append(hierarchical_context(made_NKP, teacher_NSPK[:, stage].mT))
            return torch.stack(losses).sum()


class StageFusion(nn.Module):
    """ABF: one stage, joined with the review of the later ones.

    Args: reviews: False for the last stage, which has nothing to join.
    """

    def __init__(self, width: int, middle: int, teacher_width: int, *, reviews: bool) -> None:
        super().__init__()
        self.reduce = nn.Conv1d(width, middle, kernel_size=1, bias=False)
        self.expand = nn.Conv1d(middle, teacher_width, kernel_size=3, padding=1, bias=False)
        self.reduce_norm = nn.BatchNorm1d(middle, track_running_stats=False)
        self.expand_norm = nn.BatchNorm1d(teacher_width, track_running_stats=False)
        self.attend = nn.Conv1d(2 * middle, 2, kernel_size=1) if reviews else None
        for layer in (self.reduce, self.expand):
            nn.init.kaiming_uniform_(layer.weight, a=1)

    def forward(self, stage_NDP: Tensor, review_NMP: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what is compared with the teacher (N, K, P), and the review for the stage before (N, M, P)."""
        own_NMP = self.reduce_norm(self.reduce(stage_NDP))
        if self.attend is not None and review_NMP is not None:
            shares_N2P = self.attend(torch.cat([own_NMP, review_NMP], dim=1)).sigmoid()
            own_NMP = own_NMP * shares_N2P[:, :1] + review_NMP * shares_N2P[:, 1:]
        return self.expand_norm(self.expand(own_NMP)), own_NMP


def hierarchical_context(made_NKP: Tensor, teacher_NKP: Tensor) -> Tensor:
    """HCL: mean squared errors over all parts, then over averages of halves, quarters, ..., each weighing half as much.

    Returns: scalar, their weighted mean.
    """
    parts = made_NKP.shape[-1]
    sizes = [parts, *(size for size in (4, 2, 1) if size < parts)]
    assert all(larger % smaller == 0 for larger, smaller in pairwise(sizes))
    weights = [0.5**level for level in range(len(sizes))]
    errors = [
        F.mse_loss(F.adaptive_avg_pool1d(made_NKP, size), F.adaptive_avg_pool1d(teacher_NKP, size)) for size in sizes
    ]
    total = torch.stack([weight * error for weight, error in zip(weights, errors, strict=True)]).sum()
    return total / sum(weights)
