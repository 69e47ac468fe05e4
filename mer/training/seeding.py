"""Randomness as a function of names: nothing to save, nothing to restore.

Every random stretch (initialisation, each epoch) starts from a seed derived from the trial's seed and the stretch's
name. A run resumed at an epoch boundary therefore draws what the uninterrupted run would have drawn.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor


def derive_seed(*names: object) -> int:
    """A 63-bit seed from any printable names, equal on every machine."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextlib.contextmanager
def seeded(*names: object, device: str = "cpu") -> Iterator[None]:
    """Seed torch inside the block from `names`; the caller's random state is untouched."""
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(*names))
        yield


class Streams:
    """Random numbers by name: what one student draws does not depend on who else draws beside it.

    `restart` at the beginning of a stretch; `with streams.use("audio"):` goes on where "audio" was left.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.devices = [torch.device(device)] if device.startswith("cuda") else []
        self._stretch: tuple[object, ...] = ()
        self._states: dict[str, list[Tensor]] = {}

    def restart(self, *stretch: object) -> None:
        self._stretch, self._states = stretch, {}

    @contextlib.contextmanager
    def use(self, name: str) -> Iterator[None]:
        with torch.random.fork_rng(devices=self.devices):
            if name in self._states:
                cpu, *others = self._states[name]
                torch.set_rng_state(cpu)
                for device, state in zip(self.devices, others, strict=True):
                    torch.cuda.set_rng_state(state, device)
            else:
                torch.manual_seed(derive_seed(*self._stretch, name))
            yield
            self._states[name] = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self.devices)]
