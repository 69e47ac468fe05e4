"""Several models of one structure as one module, whose weights have a member axis in front.

The module is a copy of the first model with stacked tensors in the places of its own. The code of a model counts axes
from the last one and uses `mer.models.layers`, so the copy computes all members at once: there is no second definition.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from mer.models.dropout import Drawn, Dropout, MemberRates
from mer.models.inputs import InputNorm
from mer.training.draws import Draws, thresholds
from mer.training.packed.stacked import Stacked

M = TypeVar("M", bound=nn.Module)


def joined(models: Sequence[M], stack: Stacked) -> M:
    """Return one module that computes all models.

    Numbers that may differ between members become one tensor each: rates of dropout, and what a module names in
    `varies`. All others are the first model's.

    Args:
        models: of one structure.
        stack: of their parameters and buffers; the module holds its tensors.
    """
    first = models[0]
    tensors = {**dict(first.named_parameters()), **dict(first.named_buffers())}
    memo: dict[int, object] = {id(tensor): stack[name] for name, tensor in tensors.items()}
    draws = Draws(len(models))  # whoever runs the module gives it the numbers of its members
    memo |= {id(module.draws): draws for module in first.modules() if isinstance(module, Drawn) and module.draws}
    whole = copy.deepcopy(first, memo)
    example = next(iter(stack.weights.values()))
    for module, *own in zip(whole.modules(), *(model.modules() for model in models), strict=True):
        _vary(module, own, example)
    return whole


def _vary(module: nn.Module, own: Sequence[nn.Module], example: Tensor) -> None:
    """Let one module of the copy hold the numbers of all members.

    Args: example: a stacked weight, for device and dtype.
    """
    if isinstance(module, Drawn):
        module.stacked = True
    if isinstance(module, Dropout):
        rates_P = torch.tensor([layer.rate for layer in own], dtype=torch.float64)
        module.members = MemberRates(rates_P, thresholds(rates_P).to(example.device))
    if isinstance(module, InputNorm):
        module.is_given_scaled = True  # rows are scaled when the pack's tables are made
    for name in getattr(module, "varies", ()):
        numbers = [getattr(layer, name) for layer in own]
        setattr(module, name, torch.tensor(numbers, dtype=example.dtype, device=example.device))
