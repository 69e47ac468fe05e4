"""Small tensor arithmetic that models and losses share."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_single(x: Tensor) -> Tensor:
    """Widen half precision to fp32; leave float32 and float64 as they are."""
    return x if x.dtype == torch.float64 else x.float()


def masked_mean(values_N: Tensor, mask_N: Tensor) -> Tensor:
    """Average the values where the mask is True; for an empty mask an exact zero that still allows `backward`."""
    return values_N.where(mask_N, 0.0).sum(-1) / mask_N.sum(-1).clamp(min=1)
