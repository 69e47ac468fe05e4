"""The losses between subspaces of MISA (Hazarika et al. 2020), over the rows that count; 0 where none does.

Shape suffixes: B rows, D width. Axes are counted from the last one: members of a pack may stand in front.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MOMENTS = 5
_NO_ZERO_DIVISION = 1e-6


def discrepancy(x_BD: Tensor, y_BD: Tensor, counts_B: Tensor) -> Tensor:
    """Central moment discrepancy, Zellinger et al. 2017 (CMD): distances of means and of central moments.

    Five moments in all, the mean included. The numbers lie in [0, 1], so no moment is scaled.
    """
    mean_x, mean_y = _mean(x_BD, counts_B), _mean(y_BD, counts_B)
    total = _length(mean_x - mean_y)
    around_x, around_y = x_BD - mean_x, y_BD - mean_y
    for order in range(2, _MOMENTS + 1):
        total = total + _length(_mean(around_x**order, counts_B) - _mean(around_y**order, counts_B))
    return total


def difference(x_BD: Tensor, y_BD: Tensor, counts_B: Tensor) -> Tensor:
    """Mean square of the products of every number of x with every number of y, summed over rows.

    Rows are centred over the batch and then brought to unit length; no gradient goes through their length.
    """
    return (_unit(x_BD, counts_B).mT @ _unit(y_BD, counts_B)).square().mean(dim=(-1, -2))


def reconstruction(rebuilt_BD: Tensor, x_BD: Tensor, counts_B: Tensor) -> Tensor:
    """Mean squared error."""
    return _mean((rebuilt_BD - x_BD).square(), counts_B).mean(dim=(-1, -2))


def _unit(x_BD: Tensor, counts_B: Tensor) -> Tensor:
    centred_BD = torch.where(counts_B.unsqueeze(-1), x_BD - _mean(x_BD, counts_B), 0.0)
    return centred_BD / (torch.linalg.vector_norm(centred_BD.detach(), dim=-1, keepdim=True) + _NO_ZERO_DIVISION)


def _mean(x_BD: Tensor, counts_B: Tensor) -> Tensor:
    """Average over the rows that count, (1, D)."""
    there_B1 = counts_B.unsqueeze(-1)
    return torch.where(there_B1, x_BD, 0.0).sum(dim=-2, keepdim=True) / there_B1.sum(dim=-2, keepdim=True).clamp(min=1)


def _length(x_1D: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x_1D.squeeze(-2), dim=-1)
