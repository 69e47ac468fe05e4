"""What an extraction needs of a backbone that reads media files, whichever modality it is.

Shapes: B clips, L stored hidden states (1 for signal statistics), D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True, eq=False)
class LoadedClip:
    """A clip decoded and preprocessed, ready for the backbone.

    Args:
        inputs: what `ClipEncoder.encode` of the same backbone takes: samples, frames, or finished statistics.
        notes: what had to be mended on the way, in words for the log; () for a clip in order.
    """

    inputs: Any
    notes: tuple[str, ...] = field(default=())


class ClipReader(Protocol):
    """What comes before a backbone. Its methods are called from several threads at once."""

    batch_length: int  # most length units (see `probe`) in a batch, padding included

    @property
    def probe(self) -> Callable[[Path], int]:
        """Cost of a clip in length units, from its header alone: clips of equal length are batched together.

        Raises: MediaFault when it is certain already that the clip cannot be used.
        """
        ...

    def load(self, path: Path) -> LoadedClip:
        """Decode and preprocess. Raises: MediaFault when the clip cannot be used."""
        ...


class ClipEncoder(ClipReader, Protocol):
    """A loaded backbone. `encode` is called from one thread; on a CPU, inside `SideBySide`, from several as well."""

    layers: int
    width: int

    def encode(self, clips: Sequence[LoadedClip]) -> np.ndarray:
        """Pooled hidden states, float32 (B, L, D). To rounding, a row does not depend on its batch."""
        ...


class SideBySide:
    """A backbone on a CPU: `load` encodes too, so that clips run side by side, each alone in a thread of its own.

    A large batch saves no arithmetic on a CPU and costs memory that comes fresh from the kernel at every layer, page by
    page. Threads that share a clip wait for each other at every layer. Alone, a clip needs no padding either,
    and has the same bits whatever its neighbours.
    """

    def __init__(self, encoder: ClipEncoder) -> None:
        self.encoder = encoder
        self.layers, self.width, self.probe = encoder.layers, encoder.width, encoder.probe
        # Here only what is handed on together; the same as on a GPU, so that plans do not depend on the device.
        self.batch_length = encoder.batch_length

    def load(self, path: Path) -> LoadedClip:
        clip = self.encoder.load(path)
        return LoadedClip(self.encoder.encode([clip])[0], clip.notes)

    def encode(self, clips: Sequence[LoadedClip]) -> np.ndarray:
        return np.stack([clip.inputs for clip in clips])
