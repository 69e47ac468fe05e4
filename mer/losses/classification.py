"""Losses on the class scores: cross-entropy and focal, with class weights and logit adjustment (methods 3.1-3.3)."""

# Suffixes: N batch rows, C classes.

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer.config import ClassificationLossConfig
from mer.losses.geometry import full_precision

_EFFECTIVE_BETA = 0.999


def class_weights(counts_C: Tensor, config: ClassificationLossConfig) -> Tensor:
    """Weight of a sample of each class.

    none: 1. power: (N / (C n_c)) ** class_weight_exponent. effective: inverse effective number of samples with
    beta = 0.999 (Cui et al. 2019), mean 1 over the classes that have samples.

    A class without training samples gets weight 0 ('none' apart): no row can ask for it, and 0 keeps it out of sums.

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

    Weighted rows are averaged plainly: PyTorch's weighted mean divides by the weights of the batch, so that the scale
    of its loss would change with the batch's classes. Logit adjustment (Menon et al. 2021) adds t log prior to the
    scores; a class without training samples counts as one sample there. Label smoothing spreads over all classes, and
    the row keeps the weight of its own label.

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
        # Both follow from the configuration and the data: no place in a checkpoint.
        self.register_buffer("weight_C", class_weights(counts_C, config), persistent=False)
        self.register_buffer("shift_C", (config.logit_adjustment * prior_C.log()).float(), persistent=False)

    def forward(self, logits_NC: Tensor, y_N: Tensor) -> Tensor:
        """Mean loss in nats, scalar fp32, of scores (N, C) and labels (N,) int64 in [0, C)."""
        with full_precision(logits_NC):
            logits_NC = logits_NC.float() + self.shift_C
            smoothing = self.config.label_smoothing
            loss_N = F.cross_entropy(logits_NC, y_N, reduction="none", label_smoothing=smoothing)
            if self.config.kind == "focal":
                # 1 - p from log p without cancellation; above 0, where a power below 1 has a finite slope.
                miss_N = -torch.expm1(-loss_N)
                loss_N = miss_N.clamp(min=torch.finfo(miss_N.dtype).tiny) ** self.config.focal_gamma * loss_N
            return (self.weight_C[y_N] * loss_N).mean()
