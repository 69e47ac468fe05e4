"""Take the contrastive losses of all members of a pack at once, with their pools, prototypes and maps.

Shape suffixes: P members, B batch rows, C classes, H width of h, Q pool size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mer.losses import Objective
from mer.losses.contrastive import angle_loss, decoupled_loss, prototype_contrastive_loss, supcon_loss
from mer.losses.geometry import similarity
from mer.losses.objective import POOL_ENTRY, POOL_SUPPORT, APCLObjective, EACLObjective, SPCLObjective, SupConObjective
from mer.losses.prototypes import choose_prototypes, move_prototypes, push_members, support_means
from mer.losses.targets import MultilabelObjective, RegressionObjective
from mer.models.layers import linear
from mer.training.draws import Draws
from mer.training.packed.objective import Answers, PackedObjective
from mer.training.packed.targets import PackedMultilabel, PackedRegression


class PackedSupCon(PackedObjective):
    def __init__(self, objectives: Sequence[SupConObjective], device: str) -> None:
        super().__init__(objectives, device)
        self.temperature = self.each([objective.temperature for objective in objectives], 3)

    def parts(self, answers: Answers, draws: Draws) -> dict[str, Tensor]:
        contrastive = supcon_loss(answers.h_PBH, answers.y_PB, temperature=self.temperature, there_N=answers.there_PB)
        return super().parts(answers, draws) | {"contrastive": contrastive}


class PackedSPCL(PackedObjective):
    """Pools of all members in one tensor; support sizes may differ."""

    needs_centers = True
    lone = frozenset({"pools.pool"})

    def __init__(self, objectives: Sequence[SPCLObjective], device: str) -> None:
        super().__init__(objectives, device)
        self.slots_P, self.scratch_RD = self._gather_pools(objectives)
        configs = [objective.config for objective in objectives]
        self.form, self.small_pool = configs[0].form, configs[0].small_pool
        self.temperature = self.each([config.temperature for config in configs], 3)
        self.hinge = self.each([config.hinge for config in configs], 2)
        self.support_P = torch.tensor([config.support_size for config in configs], device=device)
        self.most = max(config.support_size for config in configs)

    def parts(self, answers: Answers, draws: Draws) -> dict[str, Tensor]:
        pool, count = self.stack["pools.pool"], self.stack["pools.count"]
        prototypes_PCH = support_means(
            pool, count, self.stack["pools.center"], draws.table(POOL_SUPPORT, *pool.shape[1:3]),
            sizes_P=self.support_P, most=self.most, small_pool=self.small_pool,
        )  # fmt: skip
        contrastive = prototype_contrastive_loss(
            answers.h_PBH,
            answers.y_PB,
            prototypes_PCH,
            temperature=self.temperature,
            form=self.form,
            hinge=self.hinge,
            there_N=answers.there_PB,
        )
        return super().parts(answers, draws) | {"contrastive": contrastive}

    def _gather_pools(self, objectives: Sequence[SPCLObjective]) -> tuple[Tensor, Tensor]:
        """Put the pools of all members into one tensor, as large as the largest.

        Returns: slots that each member uses, (P,), and the pools' memory (P C Q + 1, H) with its scratch row.
        """
        pools = [objective.pools.pool for objective in objectives]
        classes, _, width = pools[0].shape
        slots = [pool.shape[1] for pool in pools]
        memory_RH = pools[0].new_zeros(len(pools) * classes * max(slots) + 1, width)
        self.stack.adopt("pools.pool", memory_RH[:-1].view(len(pools), classes, max(slots), width), axis=1)
        return torch.tensor(slots, device=self.device), memory_RH

    def start_epoch(self, centers_PCH: Tensor) -> None:
        self.stack["pools.center"].copy_(centers_PCH)
        self.stack["pools.pool"].zero_()
        self.stack["pools.pool"][:, :, 0] = centers_PCH
        self.stack["pools.count"].fill_(1)

    def after_step(self, answers: Answers, draws: Draws) -> None:
        lottery_PB = draws.bits(POOL_ENTRY, answers.y_PB.shape[1])
        push_members(
            self.stack["pools.pool"],
            self.stack["pools.count"],
            answers.h_PBH,
            answers.y_PB,
            lottery_PB,
            answers.there_PB,
            self.scratch_RD,
            self.slots_P,
        )


class PackedAPCL(PackedObjective):
    def __init__(self, objectives: Sequence[APCLObjective], device: str) -> None:
        super().__init__(objectives, device)
        configs = [objective.config for objective in objectives]
        self.anchors, self.how, self.each_class = configs[0].anchors, configs[0].orthogonalize, configs[0].prototypes
        self.temperature = self.each([config.temperature for config in configs], 3)
        self.hinge = self.each([config.hinge for config in configs], 2)
        self.beta, self.gamma = (
            self.each([getattr(config, name) for config in configs], 3) for name in ("beta", "gamma")
        )

    def parts(self, answers: Answers, draws: Draws) -> dict[str, Tensor]:
        contrastive = decoupled_loss(
            answers.h_PBH, answers.y_PB, self.stack["prototypes.mu"],
            temperature=self.temperature, anchors=self.anchors, hinge=self.hinge, there_N=answers.there_PB,
            each=self.each_class, assigned_N=None if self.each_class == 1 else self._assigned(answers),
        )  # fmt: skip
        return super().parts(answers, draws) | {"contrastive": contrastive}

    def _assigned(self, answers: Answers) -> Tensor:
        mu = self.stack["prototypes.mu"]
        return choose_prototypes(answers.h_PBH, answers.y_PB, mu, self.each_class, answers.there_PB)

    def after_step(self, answers: Answers, draws: Draws) -> None:
        mu, momentum, seen = (self.stack[f"prototypes.{name}"] for name in ("mu", "momentum", "seen"))
        move_prototypes(
            mu,
            momentum,
            seen,
            answers.h_PBH,
            answers.y_PB if self.each_class == 1 else self._assigned(answers),
            beta=self.beta,
            gamma=self.gamma,
            how=self.how,
            there_N=answers.there_PB,
        )


class PackedEACL(PackedObjective):
    """Stage one only."""

    def __init__(self, objectives: Sequence[EACLObjective], device: str) -> None:
        super().__init__(objectives, device)
        self.temperature = self.each([objective.eacl.temperature for objective in objectives], 3)

    def parts(self, answers: Answers, draws: Draws) -> dict[str, Tensor]:
        assert answers.anchors_PCH is not None
        mapped_PCH = self._map(answers.anchors_PCH)
        contrastive = prototype_contrastive_loss(
            self._map(answers.h_PBH),
            answers.y_PB,
            mapped_PCH,
            temperature=self.temperature,
            anchors="all",
            there_N=answers.there_PB,
        )
        parts = super().parts(answers, draws)
        return parts | {"contrastive": contrastive, "angle": angle_loss(mapped_PCH)}

    def anchor_scores(self, h_PNH: Tensor, anchors_PCH: Tensor) -> Tensor:
        return similarity(self._map(h_PNH), self._map(anchors_PCH), self.temperature)

    def _map(self, x_PNH: Tensor) -> Tensor:
        mapper: Any = self.objectives[0].get_submodule("eacl.mapper")
        for number, layer in enumerate(mapper):
            name = f"eacl.mapper.{number}"
            if isinstance(layer, nn.Linear):
                x_PNH = linear(x_PNH, self.stack[f"{name}.weight"], self.stack[f"{name}.bias"])
            elif isinstance(layer, nn.LayerNorm):
                gain, shift = self.stack[f"{name}.weight"].unsqueeze(1), self.stack[f"{name}.bias"].unsqueeze(1)
                x_PNH = F.layer_norm(x_PNH, layer.normalized_shape, eps=layer.eps) * gain + shift
            else:
                x_PNH = layer(x_PNH)
        return x_PNH


_PACKED: dict[type[Objective], Callable[..., PackedObjective]] = {
    Objective: PackedObjective,
    SupConObjective: PackedSupCon,
    SPCLObjective: PackedSPCL,
    APCLObjective: PackedAPCL,
    EACLObjective: PackedEACL,
    RegressionObjective: PackedRegression,
    MultilabelObjective: PackedMultilabel,
}


def pack_objectives(objectives: Sequence[Objective], device: str) -> PackedObjective:
    """Join the objectives of a pack's members."""
    return _PACKED[type(objectives[0])](objectives, device)
