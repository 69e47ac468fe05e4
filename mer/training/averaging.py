"""Exponential moving average of the trained weights: dev is scored with the averages, and they are what is kept.

torch.optim.swa_utils gives the arithmetic. Its AveragedModel is not used: it copies the whole model, frozen backbone
included, keeps one decay from the first step on, and has no way to put the averages in the model's place and back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """Averages of a list of weights, updated after every step of the optimiser.

    Update t, counted from 0, keeps the share min(decay, (1 + t) / (10 + t)) of the old average. The small share at the
    start makes the averages forget the untrained weights within a few steps.

    Args:
        parameters: the trained weights, in an order that does not change between runs.
        decay: largest share kept, below 1.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.parameters, self.decay = list(parameters), decay
        self.restart()

    @torch.no_grad()
    def restart(self) -> None:
        """Begin again: the averages are copies of the present weights."""
        self.steps = 0
        self.averages = [weight.detach().clone() for weight in self.parameters]

    def update(self) -> None:
        """Move the averages towards the weights. Call it after each step of the optimiser."""
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        get_ema_multi_avg_fn(keep)(self.averages, [weight.detach() for weight in self.parameters], self.steps)
        self.steps += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Swap the averages into the model, and the trained weights back at the end of the block."""
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
        """Return the state for a checkpoint: `steps`, and each average under its place in the list ("0", "1" ...)."""
        return {"steps": torch.tensor(self.steps)} | {f"{i}": average for i, average in enumerate(self.averages)}

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `tensors` returned for the same list of weights."""
        self.steps = int(tensors["steps"])
        for i, average in enumerate(self.averages):
            average.copy_(tensors[f"{i}"])
