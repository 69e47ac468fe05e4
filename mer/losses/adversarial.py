"""Adversarial moves of h: a step that makes the loss worse (FGM, Miyato et al. 2017, on h instead of embeddings)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mer.losses.geometry import Scalar, full_precision

_SHORTEST = 1e-30  # a row without a gradient stays where it is


def worsened(loss: Tensor, h_ND: Tensor, epsilon: Scalar) -> Tensor:
    """Move each row of h by `epsilon` along the gradient of the loss; the move itself is a constant.

    Args:
        loss: scalar, or of members (P,), computed from h.
        h_ND: with members in front (P, N, D).
        epsilon: length of the move; of members (P, 1, 1).
    """
    (gradient_ND,) = torch.autograd.grad(loss.sum(), h_ND, retain_graph=True)
    with full_precision(h_ND):
        return h_ND + epsilon * F.normalize(gradient_ND, dim=-1, eps=_SHORTEST)
