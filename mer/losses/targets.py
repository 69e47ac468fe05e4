"""Losses on numbers and on several labels (`data.task` regression and multilabel), for training only.

Where a row does not say a number or a label (NaN), it is left out of that one alone.
"""

# Suffixes: N batch rows, T numbers or labels. With members of a pack in front: (P, N, T), and (P, T) for settings.

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from mer.config import LossConfig, MultilabelLossConfig
from mer.losses.geometry import Scalar, full_precision
from mer.losses.objective import Objective, Outputs
from mer.tensor_math import at_least_single

RegressionKind = Literal["mse", "mae", "huber", "ccc"]
_SMALLEST = 1e-8  # in the denominator of a correlation: numbers and outputs that are all equal have none


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of each number in the training split, float64 (T,). A deviation is above 0."""

    mean_T: Tensor
    scale_T: Tensor


@dataclass(frozen=True)
class Frequency:
    """How many training rows have each label, and how many say whether they do, (T,)."""

    with_T: Tensor
    rows_T: Tensor


def regression_loss(
    outputs_NT: Tensor,
    y_NT: Tensor,
    scale_T: Tensor,
    *,
    kind: RegressionKind,
    delta: Scalar = 1.0,
    there_N: Tensor | None = None,
) -> Tensor:
    """Average a loss of numbers, in units of `scale_T`, over all that the rows say.

    Args:
        outputs_NT, y_NT: outputs and numbers; NaN where a row does not say one.
        delta: where Huber's loss turns from squared to absolute; of members (P, 1, 1).
        there_N: bool, False for rows that only fill the batch; None: all count.
    Returns: scalar or (P,), at least fp32. Of 'ccc' the mean over the numbers that the batch has of 1 - CCC.
    """
    with full_precision(outputs_NT):
        outputs_NT, said_NT = at_least_single(outputs_NT), _said(y_NT, there_N)
        y_NT, scale_1T = y_NT.nan_to_num().to(outputs_NT), scale_T.to(outputs_NT).unsqueeze(-2)
        if kind == "ccc":
            return _one_less_ccc(outputs_NT / scale_1T, y_NT / scale_1T, said_NT)
        gap_NT = (outputs_NT - y_NT) / scale_1T
        if kind == "mse":
            return _mean_of_said(gap_NT.square(), said_NT)
        far_NT = gap_NT.abs()
        if kind == "mae":
            return _mean_of_said(far_NT, said_NT)
        near_NT = far_NT.clamp(max=delta)
        return _mean_of_said(near_NT * (far_NT - 0.5 * near_NT), said_NT)


def _one_less_ccc(x_NT: Tensor, y_NT: Tensor, said_NT: Tensor) -> Tensor:
    """Compute 1 - CCC of each number (Lin 1989) over the rows that say it, averaged over those that some row says."""
    count_T = said_NT.sum(dim=-2)
    rows_T = count_T.clamp(min=1)

    def mean(values_NT: Tensor) -> Tensor:
        return values_NT.where(said_NT, 0.0).sum(dim=-2) / rows_T

    mean_x_T, mean_y_T = mean(x_NT), mean(y_NT)
    x_NT, y_NT = x_NT - mean_x_T.unsqueeze(-2), y_NT - mean_y_T.unsqueeze(-2)
    apart_T = mean(x_NT.square()) + mean(y_NT.square()) + (mean_x_T - mean_y_T).square()
    loss_T = 1 - 2 * mean(x_NT * y_NT) / apart_T.clamp(min=_SMALLEST)
    return _mean_of_said(loss_T.unsqueeze(-2), (count_T > 0).unsqueeze(-2))


def multilabel_loss(logits_NT: Tensor, y_NT: Tensor, pos_weight_T: Tensor, *, there_N: Tensor | None = None) -> Tensor:
    """Average the binary cross-entropy of each label over all that the rows say, nats.

    Args:
        logits_NT, y_NT: scores, and 1 or 0; NaN where a row does not say whether it has a label.
        pos_weight_T: weight of a row that has the label.
        there_N: as for `regression_loss`.
    Returns: scalar or (P,), at least fp32.
    """
    with full_precision(logits_NT):
        logits_NT, said_NT = at_least_single(logits_NT), _said(y_NT, there_N)
        y_NT, weight_1T = y_NT.nan_to_num().to(logits_NT), pos_weight_T.to(logits_NT).unsqueeze(-2)
        loss_NT = (1 - y_NT) * logits_NT + (1 + (weight_1T - 1) * y_NT) * F.softplus(-logits_NT)
        return _mean_of_said(loss_NT, said_NT)


def positive_weights(known: Frequency, config: MultilabelLossConfig) -> Tensor:
    """Compute the weight of a row that has each label, (T,) fp32; 1 for a label that no row has, or every row."""
    with_T, without_T = known.with_T.double(), (known.rows_T - known.with_T).double()
    odds_T = (without_T / with_T.clamp(min=1)) ** config.pos_weight_exponent
    return odds_T.where((with_T > 0) & (without_T > 0), 1.0).float()


def _said(y_NT: Tensor, there_N: Tensor | None) -> Tensor:
    """Say which numbers or labels the rows say, bool (N, T)."""
    said_NT = ~y_NT.isnan()
    return said_NT if there_N is None else said_NT & there_N.unsqueeze(-1)


def _mean_of_said(values_NT: Tensor, said_NT: Tensor) -> Tensor:
    """Average over rows and targets where `said`; an exact zero that allows `backward` where nothing is."""
    return values_NT.where(said_NT, 0.0).sum(dim=-1).sum(dim=-1) / said_NT.sum(dim=(-2, -1)).clamp(min=1)


class RegressionObjective(Objective):
    """A loss of numbers alone.

    Args: spread: of the training numbers.
    """

    scale_T: Tensor
    supervised = "regression"

    def __init__(self, config: LossConfig, spread: Spread) -> None:
        nn.Module.__init__(self)
        self.config = config.regression
        self.weights = {self.supervised: 1.0}
        self.register_buffer("scale_T", spread.scale_T.float(), persistent=False)  # follows from the data

    def parts(self, outputs: Outputs, y_N: Tensor) -> dict[str, Tensor]:
        kind, delta = self.config.kind, self.config.huber_delta
        return {self.supervised: regression_loss(outputs.logits_NC, y_N, self.scale_T, kind=kind, delta=delta)}


class MultilabelObjective(Objective):
    """Binary cross-entropy alone.

    Args: known: how frequent the labels are in training.
    """

    pos_weight_T: Tensor
    supervised = "multilabel"

    def __init__(self, config: LossConfig, known: Frequency) -> None:
        nn.Module.__init__(self)
        self.config = config.multilabel
        self.weights = {self.supervised: 1.0}
        self.register_buffer("pos_weight_T", positive_weights(known, config.multilabel), persistent=False)

    def parts(self, outputs: Outputs, y_N: Tensor) -> dict[str, Tensor]:
        return {self.supervised: multilabel_loss(outputs.logits_NC, y_N, self.pos_weight_T)}


Known = Tensor | Spread | Frequency  # of the training labels: rows of each class (C,), or of numbers, or of labels


def build_target_objective(config: LossConfig, known: Spread | Frequency) -> Objective:
    """Build the objective of numbers, or of several labels, by what is known of them."""
    if isinstance(known, Spread):
        return RegressionObjective(config, known)
    return MultilabelObjective(config, known)
