"""Step AdamW for all members of a pack, each at its own rate, weight decay and clipping norm.

A member's optimiser stays an ordinary torch.optim.AdamW: its moments are views of stacked ones, so that it is saved,
loaded and read as that of a trial that trained alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mer.models.member_linear import Grad, take_grads
from mer.training.optimizer import BETAS, EPS
from mer.training.packed.stacked import behind_one_another


class Learning(NamedTuple):
    """Say which weights (W) of which members (P) a step changes; the others keep their moments and step counts.

    Args:
        host_PW: nested lists of bool.
        device_WP: the same as a float64 tensor of ones and zeros on the device.
    """

    host_PW: list[list[bool]]
    device_WP: Tensor

    @classmethod
    def of(cls, learns_WP: np.ndarray, device: str) -> Learning | None:
        """Build it of an array of bool; None when all weights learn."""
        if learns_WP.all():
            return None
        return cls(learns_WP.T.tolist(), torch.from_numpy(learns_WP.astype(np.float64)).to(device))


class PackedAdamW:
    """AdamW over stacked weights.

    Args:
        weights: stacked leaves (P, ...), in the order in which the members' optimisers hold theirs.
        optimizers: the members' own, over views of `weights`.
        clip_norms: largest norm of each member's gradient.
        owner: only the weights of this owner of optimiser groups are stepped; "": all.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        optimizers: Sequence[torch.optim.Optimizer],
        clip_norms: Sequence[float],
        owner: str = "",
    ) -> None:
        self.weights = list(weights)
        device = self.weights[0].device
        self.clip_P = torch.tensor(clip_norms, dtype=torch.float64, device=device)
        owned = [groups_of(optimizer, owner) for optimizer in optimizers]
        self.decays = [[group["weight_decay"] for group in groups for _ in group["params"]] for groups in owned]
        members = [[p for group in groups for p in group["params"]] for groups in owned]
        states = [[_state_of(optimizer, p) for p in own] for optimizer, own in zip(optimizers, members, strict=True)]
        self.moments = [
            [_stack_views([state[i][name] for state in states], states, i, name) for i in range(len(self.weights))]
            for name in ("exp_avg", "exp_avg_sq")
        ]
        self.members, self.states = members, states
        self.is_cpu = device.type == "cpu"
        self.place_on(device)

    def place_on(self, device: torch.device) -> None:
        """Hold step counts and weight decays as tensors, for steps that never ask the device for a number."""
        self.step_WP = torch.stack([torch.stack([entry["step"] for entry in state]) for state in self.states], dim=1)
        self.step_WP = self.step_WP.to(device)
        self.step_views = [steps_P.unbind(0) for steps_P in self.step_WP]
        columns = zip(*self.decays, strict=True)
        self.decay_P = [torch.tensor(column, dtype=torch.float64, device=device) for column in columns]

    def follow(self) -> None:
        """Lie where another of these has put the members' moments, and take their step counts."""
        for moments, name in zip(self.moments, ("exp_avg", "exp_avg_sq"), strict=True):
            for i in range(len(moments)):
                moments[i] = behind_one_another([state[i][name] for state in self.states])
        self.place_on(self.weights[0].device)

    @torch.no_grad()
    def step(self, rates_P: Tensor, learning: Learning | None = None) -> Tensor:
        """Clip and apply the gradients, then forget them.

        Args:
            rates_P: learning rate of each member for this step, float64 on the device.
            learning: the weights that learn in this step; None: all that have a gradient.
        Returns: gradient norms before clipping, (P,).
        """
        grads = [take_grads(weight) for weight in self.weights]
        norms = [_norms(grad) for grad in grads if grad is not None]
        norm_P = torch.linalg.vector_norm(
            torch.stack(norms, dim=1), dim=1
        )  # a row for each member: adds up alike in any pack
        clip_P = (self.clip_P.to(norm_P) / (norm_P + 1e-6)).clamp(max=1.0)
        if not self.is_cpu or any(clip < 1.0 for clip in clip_P.tolist()):  # not min(): one of them may be NaN
            for grad in grads:
                _scale(grad, clip_P)
        stepped: Any = 1 if learning is None else learning.device_WP.to(self.step_WP)
        if any(grad is None for grad in grads):
            stepped = stepped * torch.tensor([[grad is not None] for grad in grads]).to(self.step_WP)
        self.step_WP += stepped
        if self.is_cpu:
            self._step_on_cpu(grads, rates_P.tolist(), learning)
        else:
            self._step_on_device(grads, rates_P, learning)
        return norm_P

    def _step_on_cpu(self, grads: Sequence[Grad | None], rates: list[float], learning: Learning | None) -> None:
        """Make one fused call for each member and weight decay: a CPU reads every tensor once."""
        unbound = [grad.unbind(0) if isinstance(grad, Tensor) else grad for grad in grads]
        for k, (own, state, decays) in enumerate(zip(self.members, self.states, self.decays, strict=True)):
            chosen = [i for i, grad in enumerate(unbound) if grad is not None]
            if learning is not None:
                chosen = [i for i in chosen if learning.host_PW[k][i]]
            for decay in dict.fromkeys(decays[i] for i in chosen):
                some = [i for i in chosen if decays[i] == decay]
                torch._fused_adamw_(
                    [own[i] for i in some],
                    [unbound[i][k] for i in some],  # type: ignore[index]
                    [state[i]["exp_avg"] for i in some],
                    [state[i]["exp_avg_sq"] for i in some],
                    [],
                    [self.step_views[i][k] for i in some],
                    lr=rates[k], beta1=BETAS[0], beta2=BETAS[1], weight_decay=decay, eps=EPS,
                    amsgrad=False, maximize=False,
                )  # fmt: skip

    def _step_on_device(self, grads: Sequence[Grad | None], rates_P: Tensor, learning: Learning | None) -> None:
        """Do the same arithmetic on stacked tensors: a GPU is asked a few times, however many members there are."""
        for i, (weight, grad) in enumerate(zip(self.weights, grads, strict=True)):
            if not isinstance(grad, Tensor):  # on a GPU no gradients lie apart
                continue
            mean, square, steps_P = self.moments[0][i], self.moments[1][i], self.step_WP[i].double()
            if learning is not None:  # a rate of 0 and moments that stay as they are
                learns_P = learning.device_WP[i]
                weight.mul_(1 - _wide(rates_P * learns_P * self.decay_P[i], weight))
                mean.lerp_(grad, _wide(learns_P * (1 - BETAS[0]), weight).expand_as(grad))
                square.lerp_(grad * grad, _wide(learns_P * (1 - BETAS[1]), weight).expand_as(grad))
                rates_now_P, steps_P = rates_P * learns_P, steps_P.clamp(min=1)
            else:
                weight.mul_(1 - _wide(rates_P * self.decay_P[i], weight))
                mean.lerp_(grad, 1 - BETAS[0])
                square.mul_(BETAS[1]).addcmul_(grad, grad, value=1 - BETAS[1])
                rates_now_P = rates_P
            root = _wide((1 - BETAS[1] ** steps_P).sqrt(), weight)
            rate = _wide(rates_now_P / (1 - BETAS[0] ** steps_P), weight)
            weight.sub_(rate * mean / (square.sqrt().div_(root).add_(EPS)))

    def forget(self) -> None:
        """Drop the gradients that a look at the loss has left beside the weights."""
        for weight in self.weights:
            take_grads(weight)

    def settle(self) -> None:
        """Bring step counts into the members' own states; the moments are there already."""
        for state, steps_W in zip(self.states, self.step_WP.T.tolist(), strict=True):
            for entry, steps in zip(state, steps_W, strict=True):
                entry["step"].fill_(steps)


def groups_of(optimizer: torch.optim.Optimizer, owner: str = "") -> list[dict[str, Any]]:
    """Return the groups of an owner, whose name begins theirs; "": all."""
    return [group for group in optimizer.param_groups if not owner or group["name"].split("_")[0] == owner]


def _norms(grad: Grad) -> Tensor:
    """Compute the norm of each member's gradient, (P,)."""
    if isinstance(grad, Tensor):
        return torch.linalg.vector_norm(grad.flatten(1), dim=1)
    return torch.stack(torch._foreach_norm(grad))


def _scale(grad: Grad | None, clip_P: Tensor) -> None:
    """Multiply each member's gradient by a number at most 1."""
    if isinstance(grad, Tensor):
        grad.mul_(_wide(clip_P, grad))
    elif grad is not None:
        for own, clip in zip(grad, clip_P.tolist(), strict=True):
            if clip < 1.0:
                own.mul_(clip)


def _wide(values_P: Tensor, like: Tensor) -> Tensor:
    """Shape one number for each member to broadcast against a stacked tensor."""
    return values_P.to(like).view(-1, *[1] * (like.ndim - 1))


def _state_of(optimizer: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """Return the optimiser's entries for a parameter; make them where it has not stepped yet."""
    state: dict[str, Tensor] = optimizer.state[parameter]
    if not state:
        state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    return state


def _stack_views(tensors: list[Tensor], states: list[list[dict[str, Tensor]]], i: int, name: str) -> Tensor:
    """Stack one moment of all members, and let their states hold views of it."""
    stacked = torch.stack(tensors)
    for state, view in zip(states, stacked.unbind(0), strict=True):
        state[i][name] = view
    return stacked
