"""Losses of a student against its teacher: Hinton's KL, DIST, TelME's feature loss (methods 4). All in fp32."""

# Suffixes: N batch rows, C classes, D width of h, K width of the teacher's h.

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from mer.config import DistillConfig
from mer.losses.geometry import full_precision, unit

FEWEST_ROWS = 4  # losses that compare the rows of a batch are left out below this
_SHORTEST = 1e-6  # smallest length in a correlation: a constant row has none; more would distort near-even scores


class Lesson(NamedTuple):
    """A teacher's outputs for a batch. No gradient reaches them.

    Args:
        logits_NC: the teacher's class scores.
        h_NK: its representation; None for self-distillation.
        there_N: bool, rows that the teacher could read; None: all.
        share: warm-up factor in [0, 1] on the weights of the distillation losses.
    """

    logits_NC: Tensor
    h_NK: Tensor | None = None
    there_N: Tensor | None = None
    share: float = 1.0


def response_kl(student_NC: Tensor, teacher_NC: Tensor, temperature: float) -> Tensor:
    """Compute T^2 KL(teacher || student) of class scores softened by T (Hinton et al. 2015).

    The KL is summed over classes and averaged over rows.

    Returns: scalar, nats times T^2; 0 when the softened scores agree.
    """
    with full_precision(student_NC):
        said = (student_NC.float() / temperature).log_softmax(dim=1)
        taught = (teacher_NC.detach().float() / temperature).log_softmax(dim=1)
        return temperature**2 * F.kl_div(said, taught, log_target=True, reduction="batchmean")


def dist(
    student_NC: Tensor, teacher_NC: Tensor, temperature: float, *, inter: float = 1.0, intra: float = 1.0
) -> Tensor:
    """Compute tau^2 (inter (1 - mean row correlation) + intra (1 - mean column correlation)) of probabilities.

    This is DIST, Huang et al. 2022 (arXiv 2205.10536), with TelME's factor tau^2. A row's correlation compares the two
    models' probabilities over the classes; a column's compares them over the rows of the batch, and is left out below
    FEWEST_ROWS rows.

    Returns: scalar; 0 when the correlations are 1, as under any positive affine change of the probabilities.
    """
    with full_precision(student_NC):
        said = (student_NC.float() / temperature).softmax(dim=1)
        taught = (teacher_NC.detach().float() / temperature).softmax(dim=1)
        loss = inter * (1 - _row_correlation(said, taught).mean())
        if len(said) >= FEWEST_ROWS:
            loss = loss + intra * (1 - _row_correlation(said.T, taught.T).mean())
        return temperature**2 * loss


def similarity_kl(student_ND: Tensor, teacher_ND: Tensor, temperature: float) -> Tensor:
    """Compute (1/N) sum_i KL(P_i || Q_i), TelME's feature loss.

    P = softmax(t t' / kappa) and Q = softmax(t s' / kappa), with t the teacher's and s the student's rows at length 1:
    P_i holds the similarities of the teacher's row i to the teacher's rows, Q_i those to the student's rows.

    Args: both (N, D), of one width.
    Returns: scalar, nats.
    """
    with full_precision(student_ND):
        t, s = unit(teacher_ND.detach()), unit(student_ND)
        taught = (t @ t.T / temperature).log_softmax(dim=1)
        said = (t @ s.T / temperature).log_softmax(dim=1)
        return F.kl_div(said, taught, log_target=True, reduction="batchmean")


def _row_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of each row of a with the same row of b."""
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    length = a.norm(dim=1).clamp(min=_SHORTEST) * b.norm(dim=1).clamp(min=_SHORTEST)
    return (a * b).sum(dim=1) / length


class Distillation(nn.Module):
    """The distillation losses of one student.

    Args:
        width: of the student's h.
        teacher_width: of the teacher's h. If it differs, a Linear projects the student's h for the feature loss.
    """

    def __init__(self, config: DistillConfig, width: int, teacher_width: int | None) -> None:
        super().__init__()
        self.config = config
        differs = config.feature != "none" and teacher_width is not None and teacher_width != width
        self.projection = nn.Linear(width, int(teacher_width or width)) if differs else None

    def forward(self, h_ND: Tensor, logits_NC: Tensor, lesson: Lesson, y_N: Tensor) -> dict[str, Tensor]:
        """Compute the unweighted losses by name; one that has too few rows in this batch is left out."""
        teacher_NC, teacher_NK = lesson.logits_NC, lesson.h_NK
        kept_N = lesson.there_N
        if self.config.kd_filter == "correct_only":
            right_N = teacher_NC.argmax(dim=1) == y_N
            kept_N = right_N if kept_N is None else kept_N & right_N
        if kept_N is not None:
            h_ND, logits_NC, teacher_NC = h_ND[kept_N], logits_NC[kept_N], teacher_NC[kept_N]
            teacher_NK = None if teacher_NK is None else teacher_NK[kept_N]
        terms: dict[str, Tensor] = {}
        if len(teacher_NC) and self.config.response != "none":
            terms["response"] = self._response(logits_NC, teacher_NC)
        if len(teacher_NC) >= FEWEST_ROWS and self.config.feature != "none" and teacher_NK is not None:
            student_NK = h_ND if self.projection is None else self.projection(h_ND)
            terms["feature"] = similarity_kl(student_NK, teacher_NK, self.config.feature_temperature)
        return terms

    def _response(self, student_NC: Tensor, teacher_NC: Tensor) -> Tensor:
        config = self.config
        if config.response == "kl":
            return response_kl(student_NC, teacher_NC, config.temperature)
        return dist(
            student_NC, teacher_NC, config.temperature, inter=config.inter_weight, intra=config.intra_weight
        )  # fmt: skip
