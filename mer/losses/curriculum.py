"""SPCL's curriculum: how likely an epoch is to use each training sample (methods 1.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from mer.losses.geometry import cosine


@torch.no_grad()
def curriculum_keep_probability(h_ND: Tensor, y_N: Tensor, centers_CD: Tensor, epoch: int, epochs: int) -> Tensor:
    """Give each training sample a probability of being used in an epoch: easy samples early, hard ones late.

    The difficulty of a sample is its cosine distance to its own class centre, divided by the sum of its distances to
    all centres (Song et al. 2022). In every epoch the probabilities average one half.

    Args:
        h_ND: features of all training samples; y_N: their labels, int64; centers_CD: class means.
        epoch: counted from 0; below `epochs`.
    Returns: (N,) fp32 in [0, 1], in the order of the samples; the caller draws one Bernoulli number for each.
    Raises: ValueError if epoch is outside [0, epochs).
    """
    if not 0 <= epoch < epochs:
        raise ValueError(f"epoch must be in [0, {epochs}), got {epoch}")
    distance_NC = (1 - cosine(h_ND, centers_CD)) / 2
    own_N = distance_NC.gather(1, y_N.unsqueeze(1)).squeeze(1)
    difficulty_N = own_N / distance_NC.sum(dim=1).clamp(min=torch.finfo(torch.float32).eps)

    hardest = epoch / epochs
    by_rank_N = torch.linspace(1 - hardest, hardest, len(y_N), device=h_ND.device)
    return torch.empty_like(by_rank_N).scatter_(0, difficulty_N.argsort(stable=True), by_rank_N)
