"""SPCL's curriculum: which training samples an epoch is likely to use (methods 1.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from mer.losses.geometry import cosine


@torch.no_grad()
def curriculum_keep_probability(h_ND: Tensor, y_N: Tensor, centers_CD: Tensor, epoch: int, epochs: int) -> Tensor:
    """Probability of each training sample to be used in an epoch: easy samples first, hard ones last.

    Difficulty is the cosine distance to the own class centre over the sum of the distances to all centres (Song et al.
    2022). About half of the samples are used in any epoch. A single sample counts as the easiest.

    Args:
        h_ND: features of all training samples; y_N: their labels, int64; centers_CD: class means.
        epoch: counted from 0, below `epochs`.
    Returns: (N,) fp32 in [0, 1], in the order of the samples; the caller draws a Bernoulli for each.
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
