"""Draw random numbers as a function of names and places: (seed, stretch, step, place, index) and nothing else.

A number drawn here does not depend on who else draws, on the order of drawing, or on the device. So a trial draws the
same numbers alone, in a pack of any size, after a resume, on a CPU and on a GPU.

How: a stretch (an epoch) has a 64-bit key, the SHA-256 of its names. Step and place are mixed into it by splitmix64
(Steele et al. 2014), once for all steps of a stretch. The two 32-bit halves of the result key a hash of the index: two
rounds of xor or add, odd multiplication and xor-shift, with the multipliers of "lowbias32" (Wellons 2018). All of it is
integer arithmetic modulo 2^32, which every device does alike.

Shape suffixes: P members, any shape behind it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mer.training.seeding import derive_seed

PLACES = 64  # places of a step that draw (dropout layers, pools) for which keys are made at once
WORDS = 34  # added to the places of dropout layers while label words pass through them
_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B - 2**32  # multipliers of lowbias32, as signed 32-bit numbers
_ROW = np.uint32(2**20)  # distance of two rows of a table: so many columns it may have
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Draws:
    """Draw for P members at once, each from its own key.

    `begin` names each member's stretch; `step` is set before each step; a place is a small number that tells one user
    of random numbers from another inside a step.

    Args:
        members: P, or None for a single member whose results have no member axis.
        device: torch device that the numbers are wanted on.
    """

    def __init__(self, members: int | None = None, device: str | torch.device = "cpu") -> None:
        self.members, self.device = members, torch.device(device)
        self.step = 0
        self._shift = 0
        self._keys: list[Tensor] = []  # for each PLACES places (2, steps, PLACES, P) int32
        self._stretches: list[tuple[object, ...]] = []
        self._steps = 0
        self._indices: dict[tuple[int, int], Tensor] = {}

    def begin(self, stretches: Sequence[Sequence[object]], steps: int) -> None:
        """Start a stretch of `steps` steps.

        Args: stretches: names of every member's stretch, e.g. (seed, "epoch", 3).
        """
        self._stretches, self._steps = [tuple(names) for names in stretches], steps
        self._keys = [self._keys_from(0)]
        self.step = 0

    def _keys_from(self, first: int) -> Tensor:
        """Make the keys of PLACES places from `first` on; models of several modalities have more places than that."""
        further = ("places", first) if first else ()
        keys = [_keys_of(derive_seed(*names, *further), self._steps) for names in self._stretches]
        return torch.from_numpy(np.stack(keys, axis=-1)).to(self.device)

    @contextlib.contextmanager
    def beside(self, shift: int) -> Iterator[None]:
        """Add `shift` to every place inside the block: a second pass through the same layers draws other numbers."""
        self._shift = shift
        try:
            yield
        finally:
            self._shift = 0

    def bits(self, place: int, *shape: int) -> Tensor:
        """Draw uniform 32-bit numbers as int32, (P, *shape), or `shape` for a single member."""
        return self._hashed(place, self._index(1, int(np.prod(shape)))).view(*self._members(), *shape)

    def table(self, place: int, rows: int, columns: int) -> Tensor:
        """Draw uniform int32 (P, rows, columns) of which a number does not depend on how many columns there are."""
        return self._hashed(place, self._index(rows, columns)).view(*self._members(), rows, columns)

    def _members(self) -> tuple[int, ...]:
        return () if self.members is None else (self.members,)

    def _hashed(self, place: int, index: Tensor) -> Tensor:
        """Hash scrambled indices (1, size) with the keys of the present step and the place: int32 (P, size)."""
        assert self._keys, "begin() names the stretch first"
        table, place = divmod(place + self._shift, PLACES)
        while len(self._keys) <= table:
            self._keys.append(self._keys_from(len(self._keys) * PLACES))
        first, second = self._keys[table][:, self.step, place]
        hashed = index ^ first.unsqueeze(1)
        hashed.mul_(_FIRST)
        hashed.bitwise_xor_((hashed >> 15).bitwise_and_(0x1FFFF))  # >> keeps the sign: mask it away
        hashed.add_(second.unsqueeze(1)).mul_(_SECOND)
        return hashed.bitwise_xor_((hashed >> 16).bitwise_and_(0xFFFF))

    def normal(self, place: int, *shape: int) -> Tensor:
        """Draw standard normal numbers, float64 of 23 random bits, (P, *shape)."""
        bits = (self.bits(place, *shape) >> 9).bitwise_and_(0x7FFFFF)
        return torch.special.ndtri((bits.double() + 0.5) * 2.0**-23)

    def keep(self, place: int, rates: Any, *shape: int) -> Tensor:
        """Draw bool (P, *shape), False with probability `rates`.

        Args: rates: in [0, 1); a number, or from `thresholds` one for each member.
        """
        limit = thresholds(rates) if isinstance(rates, float) else rates
        return self.bits(place, *shape) >= limit * 2

    def scaled_mask(self, place: int, limits: Tensor, scales: Tensor, *shape: int) -> Tensor:
        """Draw float (P, *shape): 0 where `keep` is False, elsewhere the member's scale.

        Args:
            limits: `thresholds` of the members' rates, int32, shaped to broadcast.
            scales: float32 or float64 in the same shape.
        """
        if scales.dtype != torch.float32:
            return self.keep(place, limits, *shape) * scales
        # All bits of kept numbers become 1, of others 0; they select the bits of the scale. On a CPU this is
        # four times as fast as a comparison and a product with its result.
        dropped = (self.bits(place, *shape) >> 1).sub_(limits) >> 31
        return dropped.bitwise_not_().bitwise_and_(scales.view(torch.int32)).view(torch.float32)

    def _index(self, rows: int, columns: int) -> Tensor:
        """Return the scrambled indices of a table as int32 (1, rows x columns): the same for all members and steps."""
        if (rows, columns) not in self._indices:
            numbers = np.arange(rows, dtype=np.uint32)[:, None] * _ROW + np.arange(columns, dtype=np.uint32)
            self._indices[rows, columns] = torch.from_numpy(_scrambled(numbers.reshape(1, -1))).to(self.device)
        return self._indices[rows, columns]


def thresholds(rates: Any) -> Any:
    """Return the least number that is kept at a dropping rate: an int, or int32 of a tensor of rates.

    Numbers of 31 bits are compared with it, so that their difference fits into 32.
    """
    if isinstance(rates, Tensor):
        return (rates.double() * 2.0**31).round().sub(2.0**30).clamp(max=2.0**30 - 1).to(torch.int32)
    return min(round(rates * 2**31) - 2**30, 2**30 - 1)


def _keys_of(seed: int, steps: int) -> np.ndarray:
    """Make two int32 keys for each step and place of a stretch, (2, steps, PLACES)."""
    with np.errstate(over="ignore"):
        counter = np.arange(1, steps * PLACES + 1, dtype=np.uint64) * _GOLDEN + np.uint64(seed)
        mixed = (counter ^ (counter >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    halves = mixed.astype("<u8").view("<i4").reshape(steps, PLACES, 2)
    return np.ascontiguousarray(halves.transpose(2, 0, 1))


def _scrambled(x: np.ndarray) -> np.ndarray:
    """Return lowbias32 of 32-bit numbers, int32."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
        x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
        return (x ^ (x >> np.uint32(16))).view(np.int32)


def stretch_of(seed: int, epoch: int, owner: str = "") -> tuple[object, ...]:
    """Name the random stretch of an epoch, counted from 0; a student of several has one of its own."""
    return (seed, "epoch", epoch, owner) if owner else (seed, "epoch", epoch)
