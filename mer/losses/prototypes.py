"""Prototypes of the classes: SPCL's pools of past features, and APCL's moving orthonormal rows."""

# Suffixes: B batch rows, C classes, D width, Q pool size, K support size.

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer.losses.geometry import Scalar, class_means, cosine, full_precision, unit

SmallPool = Literal["available", "center"]
Orthogonalize = Literal["polar", "qr_signed", "none"]

_SMALLEST_SINGULAR_VALUE = 1e-4
_LAST = 2**31 - 1  # lottery number of an empty slot


class ClassPools(nn.Module):
    """At most Q past features of each class; random ones leave a full pool (Song et al. 2022; methods 1.2).

    Buffers: pool (C, Q, D) fp32 whose first count[c] rows of class c are filled, count (C,) int64, center (C, D). None
    is saved: every epoch begins with empty pools. Those of checkpoints of version 0.1.0 are passed over.
    """

    pool: Tensor
    count: Tensor
    center: Tensor

    def __init__(self, num_classes: int, pool_size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("pool", torch.zeros(num_classes, pool_size, width), persistent=False)
        self.register_buffer("count", torch.zeros(num_classes, dtype=torch.int64), persistent=False)
        self.register_buffer("center", torch.zeros(num_classes, width), persistent=False)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name, _ in self.named_buffers():
            state_dict.pop(prefix + name, None)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @torch.no_grad()
    def reset(self, center_CD: Tensor) -> None:
        """Empty the pools, then put one member into each: the class centre of all training features, (C, D)."""
        self.center.copy_(center_CD)
        self.pool.zero_()
        self.pool[:, 0] = self.center
        self.count.fill_(1)

    @torch.no_grad()
    def prototypes(
        self,
        support_size: int,
        small_pool: SmallPool = "available",
        lottery_CQ: Tensor | None = None,
    ) -> Tensor:
        """Average K = support_size random members of each pool: (C, D) fp32, without gradient.

        A pool with fewer members gives the mean of those it has ('available') or the class centre ('center'); an empty
        pool gives the class centre.

        Args: lottery_CQ: uniform int32, the numbers that decide who is drawn; None: from torch's global generator.
        Raises: ValueError if support_size exceeds the pool size.
        """
        num_classes, pool_size, _ = self.pool.shape
        if support_size > pool_size:
            raise ValueError(f"support_size must be at most pool_size, got {support_size} with {pool_size}")
        if lottery_CQ is None:
            lottery_CQ = _random_bits(num_classes, pool_size, device=self.pool.device)
        return support_means(
            self.pool[None], self.count[None], self.center[None], lottery_CQ[None],
            sizes_P=torch.tensor([support_size], device=self.pool.device), most=support_size, small_pool=small_pool,
        )[0]  # fmt: skip

    @torch.no_grad()
    def push(self, h_BD: Tensor, y_B: Tensor, lottery_B: Tensor | None = None) -> None:
        """Add features (B, D), detached, to the pools of their classes.

        If old and new members of a class exceed Q, a uniformly random Q of them stay.

        Args: lottery_B: uniform int32, one number a row; None: from torch's global generator.
        """
        if lottery_B is None:
            lottery_B = _random_bits(len(y_B), device=y_B.device)
        push_members(self.pool[None], self.count[None], h_BD[None], y_B[None], lottery_B[None])


@torch.no_grad()
def support_means(
    pool_PCQD: Tensor,
    count_PC: Tensor,
    center_PCD: Tensor,
    lottery_PCQ: Tensor,
    *,
    sizes_P: Tensor,
    most: int,
    small_pool: SmallPool = "available",
) -> Tensor:
    """Average random members of each pool, drawn without replacement: (P, C, D).

    Args:
        lottery_PCQ: uniform int32; the members with the smallest numbers are drawn.
        sizes_P: how many members each of P trials draws, int64; `most`: the largest of them.
    """
    members, classes, slots, width = pool_PCQD.shape
    taken_PCQ = torch.arange(slots, device=pool_PCQD.device) < count_PC.unsqueeze(-1)
    lottery_PCQ = (lottery_PCQ >> 1).where(taken_PCQ, _LAST)  # empty slots come last
    drawn_PCK = lottery_PCQ.topk(most, dim=-1, largest=False, sorted=True).indices
    size_PC1 = torch.minimum(count_PC, sizes_P.unsqueeze(-1)).unsqueeze(-1)
    weight_PCK = (torch.arange(most, device=pool_PCQD.device) < size_PC1).to(pool_PCQD.dtype) / size_PC1.clamp(min=1)
    first_PC1 = torch.arange(members * classes, device=pool_PCQD.device).view(members, classes, 1) * slots
    mean_PCD = F.embedding_bag(
        (drawn_PCK + first_PC1).view(-1, most),
        pool_PCQD.reshape(-1, width),
        mode="sum",
        per_sample_weights=weight_PCK.view(-1, most),
    ).view(members, classes, width)
    enough_P11 = sizes_P.view(-1, 1, 1) if small_pool == "center" else 1
    return mean_PCD.where(size_PC1 >= enough_P11, center_PCD)


@torch.no_grad()
def push_members(
    pool_PCQD: Tensor,
    count_PC: Tensor,
    h_PBD: Tensor,
    y_PB: Tensor,
    lottery_PB: Tensor,
    there_PB: Tensor | None = None,
    scratch_RD: Tensor | None = None,
    slots_P: Tensor | None = None,
) -> None:
    """Add features to the pools of their classes, in place; a uniformly random Q of old and new ones stay.

    The n-th member that a class has seen takes the next slot while one is empty, then slot j drawn from n, or none if
    j is no slot (Vitter 1985, algorithm R). If two rows of a batch take one slot, the later row has it.

    Args:
        pool_PCQD, count_PC: pools and how many slots are filled, int64; both are written.
        lottery_PB: uniform int32.
        there_PB: bool, False for rows that only fill the batch; None: all are added.
        scratch_RD: the pools' own memory (P C Q + 1, D) with a last row that nobody reads, for rows that take no slot:
            with it, no number has to be asked of a GPU.
        slots_P: how many of the Q slots each trial uses, int64; None: all.
    """
    members, classes, most, width = pool_PCQD.shape
    slots: int | Tensor = most if slots_P is None else slots_P.unsqueeze(1)
    of_class_PBC = y_PB.unsqueeze(-1) == torch.arange(classes, device=y_PB.device)
    if there_PB is not None:
        of_class_PBC = of_class_PBC & there_PB.unsqueeze(-1)
    nth_PB = (of_class_PBC.cumsum(1) + count_PC.unsqueeze(1)).gather(2, y_PB.unsqueeze(-1)).squeeze(-1)
    drawn_PB = (lottery_PB.long().bitwise_and_(0x7FFFFFFF) * nth_PB) >> 31  # uniform in [0, nth)
    slot_PB = torch.where(nth_PB <= slots, nth_PB - 1, drawn_PB)
    first_P1 = torch.arange(members, device=y_PB.device).unsqueeze(1) * classes
    place_PB = (first_P1 + y_PB) * most + slot_PB
    takes_PB = slot_PB < slots if there_PB is None else (slot_PB < slots) & there_PB
    place_PB = place_PB.where(takes_PB, -1 - torch.arange(y_PB.shape[1], device=y_PB.device))  # takes none
    again_PBB = (place_PB.unsqueeze(1) == place_PB.unsqueeze(2)).triu_(1)
    wins_PB = takes_PB & ~again_PBB.any(dim=2)
    h_PBD = h_PBD.detach().to(pool_PCQD.dtype)
    if scratch_RD is None:
        pool_PCQD.view(-1, width)[place_PB[wins_PB]] = h_PBD[wins_PB]
    else:
        place_PB = place_PB.where(wins_PB, len(scratch_RD) - 1)
        scratch_RD.index_copy_(0, place_PB.view(-1), h_PBD.reshape(-1, width))
    counted_PC = count_PC + of_class_PBC.sum(1)
    count_PC.copy_(counted_PC.clamp(max=slots))


def _random_bits(*shape: int, device: torch.device) -> Tensor:
    return torch.randint(-(2**31), 2**31, shape, dtype=torch.int64, device=device).to(torch.int32)


class AdaptivePrototypes(nn.Module):
    """Unit prototypes that follow the class means with momentum and stay orthogonal (methods 2.3 a, ours).

    Buffers (all saved): mu (C, D), momentum (C, D), seen (C,) int64, the number of updates with rows of the class.

    Args:
        beta, gamma: step gain and momentum decay.
        orthogonalize: nearest orthonormal rows (polar), Gram-Schmidt in class order (qr_signed), or unit rows (none).
        init_CD: label vectors to start from; None draws orthonormal rows from torch's global generator.
        each: prototypes of a class, K; with several, all have C K rows, those of a class side by side.
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
        each: int = 1,
    ) -> None:
        super().__init__()
        self.each, num_classes = each, num_classes * each
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
        """Move prototypes towards the mean direction of their rows of the batch; those without any are only projected.

        With one prototype for each class its rows are those of the class.
        """
        own_B = self.assigned(h_BD, y_B)
        move_prototypes(
            self.mu, self.momentum, self.seen, h_BD, own_B, beta=self.beta, gamma=self.gamma, how=self.orthogonalize
        )

    def assigned(self, h_BD: Tensor, y_B: Tensor) -> Tensor:
        """Choose the prototype of each row, (B,) int64: see `choose_prototypes`."""
        return y_B if self.each == 1 else choose_prototypes(h_BD, y_B, self.mu, self.each)


@torch.no_grad()
def choose_prototypes(h_BD: Tensor, y_B: Tensor, mu_RD: Tensor, each: int, there_N: Tensor | None = None) -> Tensor:
    """Choose one of its class's prototypes for each row: int64 (B,), numbers of rows of `mu_RD`.

    It is the one to whose direction the row is nearer than the class's rows of the batch are on average; by the
    cosine alone, one prototype that has come near the class's mean would take all rows. The only row of a class in the
    batch goes to the nearest. Members may stand in front.

    Args:
        mu_RD: prototypes, `each` of a class side by side.
        there_N: bool, False for rows that only fill the batch.
    """
    cosine_BR = cosine(h_BD, mu_RD)
    classes = mu_RD.shape[-2] // each
    mean_CR, count_C = class_means(cosine_BR, y_B, classes, there_N)
    several_B1 = (count_C.gather(-1, y_B) > 1).unsqueeze(-1)
    usual_BR = mean_CR.gather(-2, y_B.unsqueeze(-1).expand(*y_B.shape, mean_CR.shape[-1]))
    above_BCK = (cosine_BR - usual_BR.where(several_B1, 0.0)).unflatten(-1, (classes, each))
    own_BK = above_BCK.take_along_dim(y_B[..., None, None], dim=-2).squeeze(-2)
    return y_B * each + own_BK.argmax(dim=-1)


@torch.no_grad()
def move_prototypes(
    mu_CD: Tensor,
    momentum_CD: Tensor,
    seen_C: Tensor,
    h_BD: Tensor,
    y_B: Tensor,
    *,
    beta: Scalar,
    gamma: Scalar,
    how: Orthogonalize,
    there_N: Tensor | None = None,
) -> None:
    """Move prototypes, momentum and counts in place, as `AdaptivePrototypes.update`; members may stand in front.

    Args: beta, gamma: numbers, or of members (P, 1, 1).
    """
    mean_CD, count_C = class_means(unit(h_BD), y_B, mu_CD.shape[-2], there_N)
    present_C1 = (count_C > 0).unsqueeze(-1)
    moved_CD = gamma * momentum_CD + beta * (mean_CD - mu_CD)
    momentum_CD.copy_(moved_CD.where(present_C1, momentum_CD))
    projected_CD = _project(mu_CD + momentum_CD.where(present_C1, 0.0), how)
    if there_N is not None:  # a member without any row in this step keeps its prototypes as they are
        projected_CD = projected_CD.where(there_N.any(dim=-1)[..., None, None], mu_CD)
    mu_CD.copy_(projected_CD)
    seen_C += present_C1.squeeze(-1)


def _project(rows_CD: Tensor, how: Orthogonalize) -> Tensor:
    """Rows made orthonormal; left as they are where that is ill-defined (a singular value < 1e-4)."""
    if how == "none":
        return unit(rows_CD)
    if rows_CD.ndim == 3 and rows_CD.device.type == "cpu":
        # LAPACK's last digits depend on where a matrix lies in memory: a copy of each lies alike in any pack.
        return torch.stack([_project(member_CD.clone(), how) for member_CD in rows_CD])
    with full_precision(rows_CD):
        left_CC, singular_C, right_CD = torch.linalg.svd(rows_CD, full_matrices=False)
        if how == "polar":
            made_CD = left_CC @ right_CD
        else:
            q_DC, r_CC = torch.linalg.qr(rows_CD.mT)
            signs_1C = r_CC.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
            made_CD = (q_DC * signs_1C).mT  # QR leaves signs open; without this, prototypes flip
        return made_CD.where(singular_C[..., -1, None, None] >= _SMALLEST_SINGULAR_VALUE, rows_CD)
