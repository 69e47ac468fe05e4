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

PLACES = 64  # places of a step that draw: dropout layers, pools
WORDS = 34  # added to the places of dropout layers while label words pass through them
_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B - 2**32  # multipliers of lowbias32, as signed 32-bit numbers
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
        self._keys: Tensor | None = None  # (2, steps, PLACES, P) int32
        self._indices: dict[int, Tensor] = {}

    def begin(self, stretches: Sequence[Sequence[object]], steps: int) -> None:
        """Start a stretch of `steps` steps.

        Args: stretches: names of every member's stretch, e.g. (seed, "epoch", 3).
        """
        keys = np.stack([_keys_of(derive_seed(*names), steps) for names in stretches], axis=-1)
        self._keys = torch.from_numpy(keys).to(self.device)
        self.step = 0

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
        assert self._keys is not None, "begin() names the stretch first"
        size = int(np.prod(shape))
        first, second = self._keys[:, self.step, place + self._shift]
        hashed = self._index(size) ^ first.unsqueeze(1)
        hashed.mul_(_FIRST)
        hashed.bitwise_xor_((hashed >> 15).bitwise_and_(0x1FFFF))  # >> keeps the sign: mask it away
        hashed.add_(second.unsqueeze(1)).mul_(_SECOND)
        hashed.bitwise_xor_((hashed >> 16).bitwise_and_(0xFFFF))
        return hashed.view(shape if self.members is None else (self.members, *shape))

    def uniform(self, place: int, *shape: int) -> Tensor:
        """Draw uniform numbers in [0, 1), float32 with 24 random bits, (P, *shape)."""
        return (self.bits(place, *shape) >> 8).bitwise_and_(0xFFFFFF).float().mul_(2.0**-24)

    def keep(self, place: int, rates: Any, *shape: int) -> Tensor:
        """Draw bool (P, *shape), False with probability `rates`.

        Args: rates: in [0, 1); a number, or from `thresholds` one for each member.
        """
        limit = thresholds(rates) if isinstance(rates, float) else rates
        return self.bits(place, *shape) >= limit

    def _index(self, size: int) -> Tensor:
        """Return 0 .. size - 1, scrambled, as int32 (1, size): the same for all members and steps."""
        if size not in self._indices:
            self._indices[size] = torch.from_numpy(_scrambled(size)).to(self.device)[None]
        return self._indices[size]


def thresholds(rates: Any) -> Any:
    """Return the least signed 32-bit number that is kept at a dropping rate: an int, or int32 of a tensor of rates."""
    if isinstance(rates, Tensor):
        return (rates.double() * 2.0**32).round().sub(2.0**31).clamp(max=2.0**31 - 1).to(torch.int32)
    return min(round(rates * 2**32) - 2**31, 2**31 - 1)


def _keys_of(seed: int, steps: int) -> np.ndarray:
    """Make two int32 keys for each step and place of a stretch, (2, steps, PLACES)."""
    with np.errstate(over="ignore"):
        counter = np.arange(1, steps * PLACES + 1, dtype=np.uint64) * _GOLDEN + np.uint64(seed)
        mixed = (counter ^ (counter >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    halves = mixed.astype("<u8").view("<i4").reshape(steps, PLACES, 2)
    return np.ascontiguousarray(halves.transpose(2, 0, 1))


def _scrambled(size: int) -> np.ndarray:
    """Return lowbias32 of 0 .. size - 1, int32."""
    with np.errstate(over="ignore"):
        x = np.arange(size, dtype=np.uint32)
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
        x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
        return (x ^ (x >> np.uint32(16))).view(np.int32)
