"""Averages of the trained weights: dev is scored with them, and they are what is kept.

Moving: exponential, over all steps (`optim.ema_decay`). Walked: SWA, Izmailov et al. 2018 (arXiv 1803.05407), the mean
of the weights at the ends of the last epochs, or of cycles of them, which are trained at a high rate (`optim.swa`).

torch.optim.swa_utils gives the arithmetic. Its AveragedModel is not used: it copies the whole model, frozen backbone
included, keeps one decay from the first step on, and has no way to put the averages in the model's place and back.
Batch statistics are not taken anew, as the paper does: no trained part has any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from mer.config import SWA, CyclicalSWA, NoSWA, OptimConfig


class WeightAverage:
    """Averages of a list of weights.

    Args: parameters: the trained weights, in an order that does not change between runs.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.restart()

    @torch.no_grad()
    def restart(self) -> None:
        """Begin again: the averages are copies of the present weights."""
        self.steps = 0
        self.averages = [weight.detach().clone() for weight in self.parameters]

    def update(self) -> None:
        """Take note of a step of the optimiser."""

    def end_epoch(self, epoch: int) -> None:
        """Take note that the steps of an epoch, counted from 0, are done."""

    @property
    def stands_in(self) -> bool:
        """Whether the averages are what is scored and kept."""
        return True

    @property
    def present(self) -> list[Tensor]:
        return [weight.detach() for weight in self.parameters]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Swap the averages into the model, and the trained weights back at the end of the block."""
        if not self.stands_in:
            yield
            return
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


class MovingAverage(WeightAverage):
    """Averages that follow the weights after every step of the optimiser.

    Update t, counted from 0, keeps the share min(decay, (1 + t) / (10 + t)) of the old average. The small share at the
    start makes the averages forget the untrained weights within a few steps.

    Args: decay: largest share kept, below 1.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.decay = decay
        super().__init__(parameters)

    def update(self) -> None:
        """Move the averages towards the weights."""
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        get_ema_multi_avg_fn(keep)(self.averages, self.present, self.steps)
        self.steps += 1


class WalkAverage(WeightAverage):
    """The mean of the weights at the ends of the cycles that are over; `steps` counts them.

    Args:
        cycle: epochs of a cycle; 1 with a constant rate.
        first, last: epochs of the walk, counted from 0: from `first` on, before `last`.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], cycle: int, first: int, last: int) -> None:
        self.cycle, self.first, self.last = cycle, first, last
        super().__init__(parameters)

    def end_epoch(self, epoch: int) -> None:
        """Add the present weights at the end of a cycle."""
        if self.first <= epoch < self.last and (epoch - self.first + 1) % self.cycle == 0:
            get_swa_multi_avg_fn()(self.averages, self.present, self.steps)
            self.steps += 1

    @property
    def stands_in(self) -> bool:
        """True once a cycle is over; until then the weights themselves are scored."""
        return self.steps > 0


def average_of(parameters: Iterable[nn.Parameter], optim: OptimConfig, epochs: int) -> WeightAverage | None:
    """Return the average that a configuration asks for. Args: epochs: of stage one; a stage two walks no further."""
    if optim.ema_decay is not None:
        return MovingAverage(parameters, optim.ema_decay)
    first = first_walked(optim.swa, epochs)
    return None if first is None else WalkAverage(parameters, _cycle(optim.swa), first, epochs)


def first_walked(swa: SWA, epochs: int) -> int | None:
    """Return the epoch, counted from 0, in which the walk begins; None without SWA."""
    return None if isinstance(swa, NoSWA) else int(swa.start * epochs)


def swa_share(swa: SWA, epoch: int, position: float, epochs: int) -> float | None:
    """Return the share of the base learning rates in the walk; None before it and after it.

    Cyclical, at share t of a cycle: (1 - t) rate + t lowest_rate (the paper's alpha, equation 1).

    Args:
        epoch: counted from 0.
        position: of the step in the epoch, in (0, 1].
        epochs: of stage one.
    """
    first = first_walked(swa, epochs)
    if first is None or isinstance(swa, NoSWA) or not first <= epoch < epochs:
        return None
    if not isinstance(swa, CyclicalSWA):
        return swa.rate
    along = ((epoch - first) % swa.cycle_epochs + position) / swa.cycle_epochs
    return (1.0 - along) * swa.rate + along * swa.lowest_rate


def _cycle(swa: SWA) -> int:
    return swa.cycle_epochs if isinstance(swa, CyclicalSWA) else 1
