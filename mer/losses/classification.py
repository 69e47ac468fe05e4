"""Cross-entropy and focal loss on class scores, with class weights and logit adjustment (methods 3.1-3.3)."""

# Suffixes: N batch rows, C classes.

from __future__ import annotations

import torch
from torch import Tensor, nn

from mer.config import ClassificationLossConfig
from mer.losses.geometry import Scalar, full_precision
from mer.tensor_math import at_least_single, masked_mean

_EFFECTIVE_BETA = 0.999


def class_weights(counts_C: Tensor, config: ClassificationLossConfig) -> Tensor:
    """Compute the weight that a sample of each class gets in the loss.

    none: 1 everywhere. power: (N / (C n_c)) ** class_weight_exponent. effective: inverse effective number of samples
    with beta = 0.999 (Cui et al. 2019), scaled to mean 1 over the classes that have samples.

    Except with 'none', a class without training samples gets weight 0, which keeps infinities out of the sums.

    Args:
        counts_C: training samples per class.
    Returns: (C,) fp32.
    Raises: ValueError if no class has a sample.
    """
    counts_C = counts_C.double()
    present_C = counts_C > 0
    if not present_C.any():
        raise ValueError(f"counts_C must hold at least one training sample, got {counts_C.tolist()}")
    if config.class_weight == "none":
        return torch.ones_like(counts_C, dtype=torch.float32)
    if config.class_weight == "power":
        weights_C = (counts_C.mean() / counts_C) ** config.class_weight_exponent
    else:
        weights_C = (1 - _EFFECTIVE_BETA) / (1 - _EFFECTIVE_BETA**counts_C)
        weights_C = weights_C / weights_C[present_C].mean()
    return weights_C.where(present_C, 0.0).float()


class ClassificationLoss(nn.Module):
    """Cross-entropy or focal loss (Lin et al. 2017), for training only.

    Weighted rows are averaged by their number. PyTorch's weighted mean divides by the sum of the batch's weights
    instead, so its scale would depend on which classes a batch holds. Logit adjustment (Menon et al. 2021) adds
    t log prior to the scores and counts a class without training samples as one sample. Label smoothing spreads over
    all classes; the row keeps the weight of its own label.

    Args:
        counts_C: training samples per class.
    Raises: ValueError if no class has a sample.
    """

    weight_C: Tensor
    shift_C: Tensor

    def __init__(self, config: ClassificationLossConfig, counts_C: Tensor) -> None:
        super().__init__()
        self.config = config
        prior_C = counts_C.double().clamp(min=1) / counts_C.sum()
        # not saved: both follow from the configuration and the data
        self.register_buffer("weight_C", class_weights(counts_C, config), persistent=False)
        self.register_buffer("shift_C", (config.logit_adjustment * prior_C.log()).float(), persistent=False)

    def forward(self, logits_NC: Tensor, y_N: Tensor) -> Tensor:
        """Average the loss of scores (N, C) and labels (N,), int64 in [0, C): scalar fp32, nats."""
        config = self.config
        gamma = config.focal_gamma if config.kind == "focal" else None
        return classification_loss(
            logits_NC, y_N, self.weight_C, self.shift_C, smoothing=config.label_smoothing, focal_gamma=gamma
        )


def classification_loss(
    logits_NC: Tensor,
    y_N: Tensor,
    weight_C: Tensor,
    shift_C: Tensor,
    *,
    smoothing: Scalar = 0.0,
    focal_gamma: Scalar | None = None,
    there_N: Tensor | None = None,
) -> Tensor:
    """Average the cross-entropy or focal loss of rows that are weighted by class.

    Args:
        logits_NC, y_N: scores and labels; with members in front (P, N, C) and (P, N).
        weight_C, shift_C: weight and logit adjustment of each class, (C,) or (P, C).
        smoothing: share of the target that is spread over all classes; of members (P, 1).
        focal_gamma: of the focal loss; None: cross-entropy; of members (P, 1).
        there_N: bool, False for rows that only fill the batch; None: all count.
    Returns: mean loss in nats, scalar or (P,), at least fp32.
    """
    with full_precision(logits_NC):
        log_p_NC = (at_least_single(logits_NC) + shift_C.unsqueeze(-2)).log_softmax(dim=-1)
        loss_N = -log_p_NC.gather(-1, y_N.unsqueeze(-1)).squeeze(-1)
        if isinstance(smoothing, Tensor) or smoothing:
            loss_N = (1 - smoothing) * loss_N - smoothing * log_p_NC.mean(dim=-1)
        if focal_gamma is not None:
            # 1 - p from log p without cancellation; above 0, where a power below 1 has a finite slope.
            miss_N = -torch.expm1(-loss_N)
            loss_N = miss_N.clamp(min=torch.finfo(miss_N.dtype).tiny) ** focal_gamma * loss_N
        loss_N = weight_C.gather(-1, y_N) * loss_N
        return loss_N.mean(dim=-1) if there_N is None else masked_mean(loss_N, there_N)
