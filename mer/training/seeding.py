"""Randomness as a function of names: nothing to save, nothing to restore.

Every random stretch (initialisation, each epoch) starts from a seed derived from the trial's seed and the stretch's
name. A run resumed at an epoch boundary therefore draws what the uninterrupted run would have drawn.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import torch


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
