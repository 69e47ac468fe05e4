"""Hold equally named tensors of several modules as one tensor each, with a member axis in front.

Shape suffix: P members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Stacked:
    """Stack the parameters and buffers of modules of one structure.

    The modules stay ordinary ones: their tensors become views of the stacked ones, so what a pack trains is in each
    module at once, and what is loaded into a module is in the stack.

    Args:
        modules: P modules with the same names and shapes.
        lone: names of tensors that are not stacked.
    """

    def __init__(self, modules: Sequence[nn.Module], lone: frozenset[str] = frozenset()) -> None:
        self.modules = list(modules)
        self.weights: dict[str, Tensor] = {}  # leaves, of weights that are trained
        self.constants: dict[str, Tensor] = {}  # buffers, and weights that are not trained
        for name, first in modules[0].named_parameters():
            if name not in lone:
                stacked = self._stack(name)
                if first.requires_grad:
                    self.weights[name] = stacked.requires_grad_()
                else:
                    self.constants[name] = stacked
        for name, _ in modules[0].named_buffers():
            if name not in lone:
                self.constants[name] = self._stack(name)

    def __getitem__(self, name: str) -> Tensor:
        """Return a stacked tensor (P, ...)."""
        return self.weights[name] if name in self.weights else self.constants[name]

    def adopt(self, name: str, memory: Tensor, axis: int) -> None:
        """Hold buffers of unlike length along `axis` of a module's tensor in `memory` (P, ...); zeros fill up."""
        for module, place in zip(self.modules, memory.unbind(0), strict=True):
            own = _tensor(module, name)
            view = place.narrow(axis, 0, own.shape[axis])
            own.data = view.copy_(own)
        self.constants[name] = memory

    def follow(self) -> None:
        """Lie where another stack has put the modules' tensors, one behind the other."""
        for tensors in (self.weights, self.constants):
            for name, stacked in tensors.items():
                stacked.data = behind_one_another([_tensor(module, name) for module in self.modules])

    def _stack(self, name: str) -> Tensor:
        tensors = [_tensor(module, name) for module in self.modules]
        stacked = torch.stack([tensor.detach() for tensor in tensors])
        for tensor, view in zip(tensors, stacked.unbind(0), strict=True):
            tensor.data = view
        return stacked


def behind_one_another(tensors: Sequence[Tensor]) -> Tensor:
    """View tensors that lie one behind the other in memory as one, (P, ...). Raises: ValueError for others."""
    first = tensors[0].detach()
    places = [tensor.data_ptr() - first.data_ptr() for tensor in tensors]
    size = first.numel() * first.element_size()
    if places != [k * size for k in range(len(tensors))] or not all(tensor.is_contiguous() for tensor in tensors):
        raise ValueError("the tensors do not lie one behind the other")
    return first.as_strided((len(tensors), *first.shape), (first.numel(), *first.stride()))


def weights_in_order(groups: Sequence[dict[str, Any]], *stacks: tuple[nn.Module, Stacked]) -> list[Tensor]:
    """Return stacked weights in the order of an optimiser's groups.

    Args: stacks: modules of the first member, with the stack that each is in.
    """
    by_id = {id(p): stack[name] for module, stack in stacks for name, p in module.named_parameters()}
    return [by_id[id(p)] for group in groups for p in group["params"]]


def _tensor(module: nn.Module, name: str) -> Tensor:
    """Return a parameter or buffer by its dotted name."""
    folder, _, last = name.rpartition(".")
    owner = module.get_submodule(folder)
    found: Tensor = getattr(owner, last)
    return found
