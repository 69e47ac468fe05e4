"""Random layers whose numbers are a function of the trial's seed, the epoch, the step and the layer.

Shape suffix: P members of a pack.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Drawing(Protocol):
    """Whoever draws random numbers by place: `mer.training.draws.Draws`."""

    def keep(self, place: int, rates: Any, *shape: int) -> Tensor: ...
    def scaled_mask(self, place: int, limits: Tensor, scales: Tensor, *shape: int) -> Tensor: ...
    def normal(self, place: int, *shape: int) -> Tensor: ...


class Drawn(nn.Module):
    """Base of all layers that draw random numbers.

    Args: place: tells this layer from the others of a model; small, not negative.

    Attributes:
        draws: where numbers come from; None: torch's global generator.
        stacked: the members of a pack are read at once, their axis stands in front.
    """

    draws: Drawing | None = None
    stacked = False

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    def own_shape(self, x: Tensor) -> tuple[int, ...]:
        """Return the shape of x as one member has it."""
        return tuple(x.shape[1:] if self.stacked else x.shape)


class Dropout(Drawn):
    """Zero each number with probability `rate` and scale the others by 1 / (1 - rate), while training.

    Args:
        rate: in [0, 1).
        place: as for `Drawn`.

    Attributes:
        members: rates of the members of a pack; None: `rate` holds for all numbers.
    """

    members: MemberRates | None = None

    def __init__(self, rate: float, place: int = 0) -> None:
        super().__init__(place)
        self.rate = rate

    @property
    def idle(self) -> bool:
        """True when nothing is dropped now."""
        return not self.training or (self.rate == 0.0 if self.members is None else self.members.none)

    def kept(self, x: Tensor) -> Tensor:
        """Draw what is kept of x: bool, of its shape."""
        if self.draws is None:
            return torch.rand(x.shape, device=x.device) >= self.rate
        rates = self.rate if self.members is None else self.members.limit(x.ndim)
        return self.draws.keep(self.place, rates, *self.own_shape(x))

    def forward(self, x: Tensor) -> Tensor:
        if self.idle:
            return x
        if self.members is not None:
            assert self.draws is not None
            limit, scale = self.members.limit(x.ndim), self.members.scale(x.ndim, x.dtype)
            return x * self.draws.scaled_mask(self.place, limit, scale, *self.own_shape(x))
        if self.draws is None:
            return F.dropout(x, self.rate)
        return x * self.kept(x).to(x.dtype).div_(1 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, place={self.place}"


class MemberRates:
    """Hold the rates of one dropout layer, one for each member, ready for use.

    Args:
        rates_P: float64.
        limit_P: what `Drawing.keep` takes for these rates.
    """

    def __init__(self, rates_P: Tensor, limit_P: Tensor) -> None:
        self.none = not rates_P.any()
        self._limit_P, self._scale_P = limit_P, 1 / (1 - rates_P).to(limit_P.device)
        self._shaped: dict[Any, Tensor] = {}

    def limit(self, ndim: int) -> Tensor:
        """Return the limits, shaped to act on tensors of `ndim` axes."""
        if ndim not in self._shaped:
            self._shaped[ndim] = self._limit_P.view(-1, *[1] * (ndim - 1))
        return self._shaped[ndim]

    def scale(self, ndim: int, dtype: torch.dtype) -> Tensor:
        """Return 1 / (1 - rate), shaped to act on tensors of `ndim` axes."""
        if (ndim, dtype) not in self._shaped:
            self._shaped[ndim, dtype] = self._scale_P.to(dtype).view(-1, *[1] * (ndim - 1))
        return self._shaped[ndim, dtype]


class Noise(Drawn):
    """Draw standard normal numbers of the shape of x."""

    def forward(self, x: Tensor) -> Tensor:
        if self.draws is None:
            return torch.randn_like(x)
        return self.draws.normal(self.place, *self.own_shape(x)).to(x.dtype)


def draw_masks_from(model: nn.Module, draws: Drawing) -> None:
    """Let all random layers of a model draw from `draws`."""
    for module in drawn_layers(model):
        module.draws = draws


def drawn_layers(model: nn.Module) -> Iterable[Drawn]:
    """Yield the random layers of a model, in a fixed order."""
    return (module for module in model.modules() if isinstance(module, Drawn))


def number_places(model: nn.Module, first: int) -> None:
    """Give each random layer of a model a place of its own, counted from `first`."""
    for place, module in enumerate(drawn_layers(model), first):
        module.place = place
