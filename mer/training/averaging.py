"""Exponential moving average of the weights that are trained: dev is scored with it, and it is what is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """After step t every average moves towards its weight by 1 - min(decay, (1 + t) / (10 + t)): the first steps, far
    from anything worth keeping, are soon forgotten.

    Args: parameters: in an order that does not change. decay: below 1.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.parameters, self.decay = list(parameters), decay
        self.restart()

    @torch.no_grad()
    def restart(self) -> None:
        """From the weights as they are."""
        self.steps = 0
        self.averages = [weight.detach().clone() for weight in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """After a step of the optimiser."""
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.averages, [weight.detach() for weight in self.parameters], 1.0 - keep)
        self.steps += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The averages are the weights meanwhile."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for weight, average in zip(self.parameters, self.averages, strict=True):
            held = weight.detach().clone()
            weight.copy_(average)
            average.copy_(held)

    def tensors(self) -> dict[str, Tensor]:
        """Everything needed to go on exactly."""
        return {"steps": torch.tensor(self.steps)} | {f"{i}": average for i, average in enumerate(self.averages)}

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """What `tensors` gave, of the same parameters."""
        self.steps = int(tensors["steps"])
        for i, average in enumerate(self.averages):
            average.copy_(tensors[f"{i}"])
