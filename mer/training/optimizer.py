"""Optimiser groups by name, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mer.checkpoints.tensors import clone, prefixed, under
from mer.config import OptimConfig, TrialConfig
from mer.training.eight_bits import eight_bit_adamw

BETAS, EPS = (0.9, 0.999), 1e-8
CONSTANT_GROUPS = frozenset({"anchors"})  # trained in the last epochs only, where a decayed rate would be near zero


def parameter_groups(
    named: dict[str, Iterable[nn.Parameter]], learning_rates: dict[str, float], weight_decay: float
) -> list[dict[str, object]]:
    """Split each named group into decayed matrices and undecayed vectors (biases, norms, mixing weights).

    Raises: ValueError if a parameter is in two groups.
    """
    seen: set[int] = set()
    groups: list[dict[str, object]] = []
    for name, parameters in named.items():
        trainable = [p for p in parameters if p.requires_grad]
        if seen & {id(p) for p in trainable}:
            raise ValueError(f"a parameter of group {name!r} is in another group too")
        seen |= {id(p) for p in trainable}
        decay = 0.0 if name in CONSTANT_GROUPS else weight_decay
        halves = (
            (name, [p for p in trainable if p.ndim > 1], decay),
            (f"{name}_no_decay", [p for p in trainable if p.ndim <= 1], 0.0),
        )
        for half, members, half_decay in halves:
            if members:
                lr = learning_rates[name]
                groups.append({"name": half, "params": members, "lr": lr, "base_lr": lr, "weight_decay": half_decay})
    return groups


def build_optimizer(
    config: TrialConfig, named: Mapping[str, tuple[float, Iterable[nn.Parameter]]]
) -> torch.optim.Optimizer:
    """AdamW over groups of parameters, each at its learning rate. Raises: MerError where 8-bit moments are not here."""
    parameters = {name: members for name, (_, members) in named.items()}
    rates = {name: rate for name, (rate, _) in named.items()}
    groups = parameter_groups(parameters, rates, config.optim.weight_decay)
    if config.optim.moment_bits == 8:
        return eight_bit_adamw(groups, BETAS, EPS)
    return torch.optim.AdamW(groups, betas=BETAS, eps=EPS, fused=True)


def rate_multiplier(step: int, total_steps: int, config: OptimConfig) -> float:
    """Share of the base learning rate at `step` (0-based): linear warm-up, then the schedule down to 0 at the end."""
    warmup = int(config.warmup_ratio * total_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    return 1.0 - progress if config.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, multiplier: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * (1.0 if group["name"] in CONSTANT_GROUPS else multiplier)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Step counts and moments, named `<index of the parameter>.<what>`. Rates follow from the configuration."""
    state = torch.optim.Optimizer.state_dict(optimizer)["state"]  # that of bitsandbytes wraps some of it up
    told: dict[str, Tensor] = {}
    for index, entries in state.items():
        tensors = {name: torch.as_tensor(value) for name, value in entries.items()}  # bitsandbytes counts with an int
        told |= prefixed(str(index), tensors)
    return told


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Copy what `optimizer_tensors` gave into an optimiser over the same groups."""
    indices = {name.split(".", 1)[0] for name in tensors}
    state: dict[int, dict[str, Any]] = {int(index): clone(under(index, tensors)) for index in indices}
    if not isinstance(optimizer, torch.optim.AdamW):
        for entries in state.values():
            entries["step"] = int(entries["step"])
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
