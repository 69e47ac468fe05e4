"""Prototypes of the classes: SPCL's pools of past features, and APCL's moving orthonormal rows."""

# Suffixes: B batch rows, C classes, D width, Q pool size, K support size.

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from mer.losses.geometry import class_means, full_precision, unit

Orthogonalize = Literal["polar", "qr_signed", "none"]

_SMALLEST_SINGULAR_VALUE = 1e-4


class ClassPools(nn.Module):
    """At most Q past features of each class; random ones leave a full pool (Song et al. 2022; methods 1.2).

    Buffers (all saved): pool (C, Q, D) fp32 whose first count[c] rows of class c are filled, count (C,) int64,
    center (C, D). Random draws come from torch's global generator.
    """

    pool: Tensor
    count: Tensor
    center: Tensor

    def __init__(self, num_classes: int, pool_size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("pool", torch.zeros(num_classes, pool_size, width))
        self.register_buffer("count", torch.zeros(num_classes, dtype=torch.int64))
        self.register_buffer("center", torch.zeros(num_classes, width))

    @torch.no_grad()
    def reset(self, center_CD: Tensor) -> None:
        """Empty the pools, then put one member into each: the class centre of all training features, (C, D)."""
        self.center.copy_(center_CD)
        self.pool.zero_()
        self.pool[:, 0] = self.center
        self.count.fill_(1)

    @torch.no_grad()
    def prototypes(self, support_size: int, small_pool: Literal["available", "center"] = "available") -> Tensor:
        """Average K = support_size random members of each pool: (C, D) fp32, without gradient.

        A pool with fewer members gives the mean of those it has ('available') or the class centre ('center'); an empty
        pool gives the class centre.

        Raises: ValueError if support_size exceeds the pool size.
        """
        num_classes, pool_size, width = self.pool.shape
        if support_size > pool_size:
            raise ValueError(f"support_size must be at most pool_size, got {support_size} with {pool_size}")
        lottery_CQ = torch.rand(num_classes, pool_size, device=self.pool.device)
        lottery_CQ = lottery_CQ.where(self._filled(), torch.inf)
        drawn_CK = lottery_CQ.topk(support_size, dim=1, largest=False, sorted=True).indices  # filled slots come first
        members_CKD = self.pool.gather(1, drawn_CK.unsqueeze(2).expand(-1, -1, width))
        size_C1 = self.count.clamp(max=support_size).unsqueeze(1)
        real_CK = torch.arange(support_size, device=self.pool.device) < size_C1
        mean_CD = members_CKD.where(real_CK.unsqueeze(2), 0.0).sum(dim=1) / size_C1.clamp(min=1)
        enough = support_size if small_pool == "center" else 1
        return mean_CD.where(size_C1 >= enough, self.center)

    @torch.no_grad()
    def push(self, h_BD: Tensor, y_B: Tensor) -> None:
        """Add features (B, D), detached, to the pools of their classes.

        If old and new members of a class exceed Q, a uniformly random Q of them stay.
        """
        num_classes, pool_size, _ = self.pool.shape
        of_class_CB = torch.arange(num_classes, device=y_B.device).unsqueeze(1) == y_B
        exists_CX = torch.cat([self._filled(), of_class_CB], dim=1)  # X = Q old and B new
        lottery_CX = torch.rand(exists_CX.shape, device=y_B.device).where(exists_CX, torch.inf)
        winners_CQ = lottery_CX.topk(pool_size, dim=1, largest=False, sorted=False).indices
        stays_CX = torch.zeros_like(exists_CX).scatter_(1, winners_CQ, True) & exists_CX
        old_CQ, new_CB = stays_CX.split([pool_size, len(y_B)], dim=1)

        # The r-th new member takes the r-th slot that is empty or was vacated; the other members keep their slots.
        # Without overflow nobody leaves and slots fill in order; with overflow exactly all open slots are taken.
        open_slots_CQ = old_CQ.int().argsort(dim=1, stable=True)
        slot_CB = open_slots_CQ.gather(1, (new_CB.cumsum(dim=1) - 1).clamp(min=0, max=pool_size - 1))
        row_B = torch.arange(len(y_B), device=y_B.device)
        stays_B = new_CB[y_B, row_B]
        self.pool[y_B[stays_B], slot_CB[y_B, row_B][stays_B]] = h_BD.detach().float()[stays_B]
        self.count.copy_((self.count + of_class_CB.sum(dim=1)).clamp(max=pool_size))

    def _filled(self) -> Tensor:
        return torch.arange(self.pool.shape[1], device=self.pool.device) < self.count.unsqueeze(1)


class AdaptivePrototypes(nn.Module):
    """Unit prototypes that follow the class means with momentum and stay orthogonal (methods 2.3 a, ours).

    Buffers (all saved): mu (C, D), momentum (C, D), seen (C,) int64, the number of updates with rows of the class.

    Args:
        beta, gamma: step gain and momentum decay.
        orthogonalize: nearest orthonormal rows (polar), Gram-Schmidt in class order (qr_signed), or unit rows (none).
        init_CD: label vectors to start from; None draws orthonormal rows from torch's global generator.
    Raises: ValueError if C orthonormal rows do not fit into the width, or init_CD has another shape.
    """

    mu: Tensor
    momentum: Tensor
    seen: Tensor

    def __init__(
        self,
        num_classes: int,
        width: int,
        *,
        beta: float,
        gamma: float,
        orthogonalize: Orthogonalize = "polar",
        init_CD: Tensor | None = None,
    ) -> None:
        super().__init__()
        if orthogonalize != "none" and width < num_classes:
            raise ValueError(
                f"{num_classes} orthonormal prototypes need features at least {num_classes} wide, got {width}: "
                "widen head.hidden or set loss.contrastive.orthogonalize: none"
            )
        self.beta, self.gamma, self.orthogonalize = beta, gamma, orthogonalize
        if init_CD is None:
            mu_CD = unit(nn.init.orthogonal_(torch.empty(num_classes, width)))
        elif init_CD.shape != (num_classes, width):
            raise ValueError(f"label vectors must be {(num_classes, width)} (C, D), got {tuple(init_CD.shape)}")
        else:
            # polar, not Gram-Schmidt, which would change the last classes most
            mu_CD = _project(unit(init_CD.detach()), "none" if orthogonalize == "none" else "polar")
        self.register_buffer("mu", mu_CD)
        self.register_buffer("momentum", torch.zeros(num_classes, width))
        self.register_buffer("seen", torch.zeros(num_classes, dtype=torch.int64))

    @torch.no_grad()
    def update(self, h_BD: Tensor, y_B: Tensor) -> None:
        """Move prototypes towards their class's mean direction in the batch; absent classes are only projected."""
        mean_CD, count_C = class_means(unit(h_BD), y_B, len(self.mu))
        present_C1 = (count_C > 0).unsqueeze(1)
        momentum_CD = self.gamma * self.momentum + self.beta * (mean_CD - self.mu)
        self.momentum.copy_(momentum_CD.where(present_C1, self.momentum))
        self.mu.copy_(_project(self.mu + self.momentum.where(present_C1, 0.0), self.orthogonalize))
        self.seen += present_C1.squeeze(1)


def _project(rows_CD: Tensor, how: Orthogonalize) -> Tensor:
    """Make the rows orthonormal; leave them unchanged if a singular value is below 1e-4 (ill-defined)."""
    if how == "none":
        return unit(rows_CD)
    with full_precision(rows_CD):
        left_CC, singular_C, right_CD = torch.linalg.svd(rows_CD, full_matrices=False)
        if singular_C[-1] < _SMALLEST_SINGULAR_VALUE:
            return rows_CD
        if how == "polar":
            return left_CC @ right_CD
        q_DC, r_CC = torch.linalg.qr(rows_CD.T)
        return (q_DC * r_CC.diagonal().sign()).T  # QR leaves signs open; fixing them keeps prototypes from flipping
