"""Dropout whose masks are a function of the trial's seed, the epoch, the step and the layer."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn
from torch.nn import functional as F


class Drawing(Protocol):
    """Whoever draws masks by place: `mer.training.draws.Draws`."""

    def keep(self, place: int, rates: float, *shape: int) -> Tensor: ...


class Dropout(nn.Module):
    """Zero each number with probability `rate` and scale the others by 1 / (1 - rate), while training.

    Args:
        rate: in [0, 1).
        place: tells this layer from the others of a model; small, not negative.

    Attributes:
        draws: where masks come from; None: torch's global generator.
    """

    draws: Drawing | None = None

    def __init__(self, rate: float, place: int) -> None:
        super().__init__()
        self.rate, self.place = rate, place

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        if self.draws is None:
            return F.dropout(x, self.rate)
        return x * self.draws.keep(self.place, self.rate, *x.shape).to(x.dtype).div_(1 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, place={self.place}"


def draw_masks_from(model: nn.Module, draws: Drawing) -> None:
    """Let all dropout layers of a model draw their masks from `draws`."""
    for module in model.modules():
        if isinstance(module, Dropout):
            module.draws = draws
