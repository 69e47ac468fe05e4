"""Losses of a student against its teacher: KL, DIST, squares, TelME's feature loss (methods 4), review. In fp32."""

# Suffixes: N batch rows, C classes, D width of h, K width of the teacher's h.

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer.config import DistillConfig
from mer.losses.geometry import Scalar, full_precision, unit
from mer.losses.review import Review
from mer.tensor_math import at_least_single, masked_mean

FEWEST_ROWS = 4  # losses that compare the rows of a batch are left out below this
_SHORTEST = 1e-6  # smallest length in a correlation: a constant row has none; more would distort near-even scores


class Lesson(NamedTuple):
    """A teacher's outputs for a batch. No gradient reaches them.

    Args:
        logits_NC: the teacher's class scores.
        h_NK: its representation; None for self-distillation.
        there_N: bool, rows that the teacher could read; None: all.
        share: warm-up factor in [0, 1] on the weights of the distillation losses.
        states_NSPK: hidden states of the teacher's stages, averaged over parts of time; None where none are compared.
        staged_N: bool, rows that have such states; None: all.
    """

    logits_NC: Tensor
    h_NK: Tensor | None = None
    there_N: Tensor | None = None
    share: float = 1.0
    states_NSPK: Tensor | None = None
    staged_N: Tensor | None = None


def response_kl(
    student_NC: Tensor, teacher_NC: Tensor, temperature: Scalar, *, there_N: Tensor | None = None
) -> Tensor:
    """Compute T^2 KL(teacher || student) of class scores softened by T (Hinton et al. 2015).

    The KL is summed over classes and averaged over rows.

    Args:
        student_NC, teacher_NC: class scores; with members in front (P, N, C).
        temperature: T; of members (P, 1, 1).
        there_N: bool, False for rows that do not count; None: all do.
    Returns: scalar or (P,), nats times T^2; 0 when the softened scores agree.
    """
    with full_precision(student_NC):
        said = (at_least_single(student_NC) / temperature).log_softmax(dim=-1)
        taught = (at_least_single(teacher_NC.detach()).to(said) / temperature).log_softmax(dim=-1)
        return _by_member(temperature) ** 2 * _mean_kl(said, taught, there_N)


def dist(
    student_NC: Tensor,
    teacher_NC: Tensor,
    temperature: Scalar,
    *,
    inter: Scalar = 1.0,
    intra: Scalar = 1.0,
    there_N: Tensor | None = None,
) -> Tensor:
    """Compute tau^2 (inter (1 - mean row correlation) + intra (1 - mean column correlation)) of probabilities.

    This is DIST, Huang et al. 2022 (arXiv 2205.10536), with TelME's factor tau^2. A row's correlation compares the two
    models' probabilities over the classes; a column's compares them over the rows of the batch, and is left out below
    FEWEST_ROWS rows.

    Args: as for `response_kl`, and
        inter, intra: weights of the two terms; of members (P,).
    Returns: scalar or (P,); 0 when the correlations are 1, as under any positive affine change of the probabilities.
    """
    with full_precision(student_NC):
        said = (at_least_single(student_NC) / temperature).softmax(dim=-1)
        taught = (at_least_single(teacher_NC.detach()).to(said) / temperature).softmax(dim=-1)
        by_row_N = _correlation(said, taught, dim=-1)
        loss = inter * (1 - (by_row_N.mean(dim=-1) if there_N is None else masked_mean(by_row_N, there_N)))
        if there_N is None and said.shape[-2] < FEWEST_ROWS:
            return _by_member(temperature) ** 2 * loss
        by_column = intra * (1 - _correlation(said, taught, dim=-2, there_N=there_N).mean(dim=-1))
        if there_N is not None:
            by_column = by_column.where(there_N.sum(dim=-1) >= FEWEST_ROWS, 0.0)
        return _by_member(temperature) ** 2 * (loss + by_column)


def similarity_kl(
    student_ND: Tensor, teacher_ND: Tensor, temperature: Scalar, *, there_N: Tensor | None = None
) -> Tensor:
    """Compute (1/N) sum_i KL(P_i || Q_i), TelME's feature loss.

    P = softmax(t t' / kappa) and Q = softmax(t s' / kappa), with t the teacher's and s the student's rows at length 1:
    P_i holds the similarities of the teacher's row i to the teacher's rows, Q_i those to the student's rows.

    Args:
        student_ND, teacher_ND: of one width; with members in front (P, N, D).
        temperature, there_N: as for `response_kl`.
    Returns: scalar or (P,), nats.
    """
    with full_precision(student_ND):
        s = unit(student_ND)
        t = unit(at_least_single(teacher_ND.detach()).to(s))
        taught, said = t @ t.mT / temperature, t @ s.mT / temperature
        if there_N is None:
            return _mean_kl(said.log_softmax(dim=-1), taught.log_softmax(dim=-1))
        others_1N = there_N.unsqueeze(-2)  # rows that do not count are no neighbours either
        said, taught = (
            scores.masked_fill(~others_1N, -torch.inf).log_softmax(dim=-1).where(others_1N, 0.0)
            for scores in (said, taught)
        )
        return _mean_kl(said, taught, there_N)


def squared_gap(
    student_NK: Tensor, teacher_NK: Tensor, scale_K: Tensor | None = None, *, there_N: Tensor | None = None
) -> Tensor:
    """Compute the mean squared difference of two models' outputs, or of their h (FitNets, Romero et al. 2015).

    Args:
        student_NK, teacher_NK: of one width; with members in front (P, N, K).
        scale_K: unit of each output, (K,) or of members (P, K); None: 1.
        there_N: as for `response_kl`.
    Returns: scalar or (P,).
    """
    with full_precision(student_NK):
        said = at_least_single(student_NK)
        gap_NK = said - at_least_single(teacher_NK.detach()).to(said)
        if scale_K is not None:
            gap_NK = gap_NK / scale_K.to(said).unsqueeze(-2)
        by_row_N = gap_NK.square().mean(dim=-1)
        return by_row_N.mean(dim=-1) if there_N is None else masked_mean(by_row_N, there_N)


def _mean_kl(said_NC: Tensor, taught_NC: Tensor, there_N: Tensor | None = None) -> Tensor:
    """Average KL(taught || said) of log-probabilities over rows."""
    kl_NC = F.kl_div(said_NC, taught_NC, log_target=True, reduction="none")
    if there_N is None:
        return kl_NC.sum(dim=(-2, -1)) / said_NC.shape[-2]
    return masked_mean(kl_NC.sum(dim=-1), there_N)


def _correlation(a: Tensor, b: Tensor, *, dim: int, there_N: Tensor | None = None) -> Tensor:
    """Pearson correlation of a and b along a dimension: the last, or the rows that count."""
    if there_N is None:
        a, b = a - a.mean(dim=dim, keepdim=True), b - b.mean(dim=dim, keepdim=True)
    else:
        there_N1 = there_N.unsqueeze(-1)
        count_11 = there_N1.sum(dim=dim, keepdim=True).clamp(min=1)
        a, b = ((x - x.where(there_N1, 0.0).sum(dim=dim, keepdim=True) / count_11).where(there_N1, 0.0) for x in (a, b))
    length = a.norm(dim=dim).clamp(min=_SHORTEST) * b.norm(dim=dim).clamp(min=_SHORTEST)
    return (a * b).sum(dim=dim) / length


def _by_member(temperature: Scalar) -> Scalar:
    """Shape temperatures of members (P, 1, 1) as their losses are: (P,)."""
    return temperature.flatten() if isinstance(temperature, Tensor) else temperature


def taught_rows(lesson: Lesson, y_N: Tensor, only_correct_N: Tensor | bool) -> Tensor | None:
    """Say which rows the teacher teaches, bool (N,): those it could read and, where asked, whose label it predicts.

    Args: only_correct_N: whether rows whose label it does not predict are left out; of members (P, 1).
    Returns: None: all rows.
    """
    kept_N = lesson.there_N
    if only_correct_N is False or y_N.is_floating_point():  # numbers and several labels have no right class
        return kept_N
    right_N = lesson.logits_NC.argmax(dim=-1) == y_N
    if isinstance(only_correct_N, Tensor):
        right_N = right_N | ~only_correct_N
    return right_N if kept_N is None else kept_N & right_N


class Distillation(nn.Module):
    """The distillation losses of one student.

    Args:
        width: of the student's h.
        teacher_width: of the teacher's h. If it differs, a Linear projects the student's h for the feature loss.
        review: the loss of hidden states; None where they are not compared.
        scale_C: unit of each output, where these are numbers; None: 1.
    """

    scale_C: Tensor | None

    def __init__(
        self,
        config: DistillConfig,
        width: int,
        teacher_width: int | None,
        review: Review | None = None,
        scale_C: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("scale_C", scale_C, persistent=False)
        differs = config.feature in ("similarity", "mse") and teacher_width is not None and teacher_width != width
        self.projection = nn.Linear(width, int(teacher_width or width)) if differs else None
        self.review = review

    def forward(
        self, h_ND: Tensor, logits_NC: Tensor, lesson: Lesson, y_N: Tensor, states_NSPD: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the unweighted losses by name; one that has too few rows in this batch is left out.

        Args: states_NSPD: hidden states of the student's stages, for the review.
        """
        teacher_NC, teacher_NK = lesson.logits_NC, lesson.h_NK
        kept_N = taught_rows(lesson, y_N, self.config.kd_filter == "correct_only")
        terms = self._reviewed(states_NSPD, lesson, kept_N)
        if kept_N is not None:
            h_ND, logits_NC, teacher_NC = h_ND[kept_N], logits_NC[kept_N], teacher_NC[kept_N]
            teacher_NK = None if teacher_NK is None else teacher_NK[kept_N]
        if len(teacher_NC) and self.config.response != "none":
            terms["response"] = self._response(logits_NC, teacher_NC)
        if len(teacher_NC) >= FEWEST_ROWS and self.config.feature in ("similarity", "mse") and teacher_NK is not None:
            student_NK = h_ND if self.projection is None else self.projection(h_ND)
            if self.config.feature == "mse":
                terms["feature"] = squared_gap(student_NK, teacher_NK)
            else:
                terms["feature"] = similarity_kl(student_NK, teacher_NK, self.config.feature_temperature)
        return terms

    def _reviewed(self, states_NSPD: Tensor | None, lesson: Lesson, kept_N: Tensor | None) -> dict[str, Tensor]:
        """Compare hidden states, of the rows that have the teacher's; a batch norm over few rows would say little."""
        if self.review is None or states_NSPD is None or lesson.states_NSPK is None:
            return {}
        teacher_NSPK, staged_N = lesson.states_NSPK, lesson.staged_N
        if kept_N is not None:
            staged_N = kept_N if staged_N is None else staged_N & kept_N
        if staged_N is not None:
            states_NSPD, teacher_NSPK = states_NSPD[staged_N], teacher_NSPK[staged_N]
        return {"feature": self.review(states_NSPD, teacher_NSPK)} if len(states_NSPD) >= FEWEST_ROWS else {}

    def _response(self, student_NC: Tensor, teacher_NC: Tensor) -> Tensor:
        config = self.config
        if config.response == "mse":
            return squared_gap(student_NC, teacher_NC, self.scale_C)
        if config.response == "kl":
            return response_kl(student_NC, teacher_NC, config.temperature)
        return dist(
            student_NC, teacher_NC, config.temperature, inter=config.inter_weight, intra=config.intra_weight
        )  # fmt: skip
