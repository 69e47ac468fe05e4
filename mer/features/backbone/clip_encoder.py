"""The interface between the extraction of clips and a backbone that reads media files, in sound or pictures.

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
        inputs: samples, frames, or finished statistics, as `ClipEncoder.encode` of the same backbone takes them.
        notes: faults that were mended on the way, in words for the log; () for a clip in order.
    """

    inputs: Any
    notes: tuple[str, ...] = field(default=())


class ClipReader(Protocol):
    """Prepares a backbone's input from files. Its methods are called from several threads at once."""

    batch_length: int  # most length units (see `probe`) in a batch, padding included

    @property
    def probe(self) -> Callable[[Path], int]:
        """A function that reads a clip's cost in length units from its header; clips of like length share a batch.

        It raises MediaFault when the header shows already that the clip cannot be used.
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
    """Runs a backbone on a CPU clip by clip: `load` encodes too, so that each clip runs alone in a thread of its own.

    On a CPU a large batch saves no arithmetic, and every layer allocates its memory anew, page by page. Threads that
    share one clip wait for each other at every layer. A clip that runs alone needs no padding, and its numbers do not
    depend on its neighbours.
    """

    def __init__(self, encoder: ClipEncoder) -> None:
        self.encoder = encoder
        self.layers, self.width, self.probe = encoder.layers, encoder.width, encoder.probe
        # Nothing is batched here; the number stays that of a GPU, so that shards do not depend on the device.
        self.batch_length = encoder.batch_length

    def load(self, path: Path) -> LoadedClip:
        clip = self.encoder.load(path)
        return LoadedClip(self.encoder.encode([clip])[0], clip.notes)

    def encode(self, clips: Sequence[LoadedClip]) -> np.ndarray:
        return np.stack([clip.inputs for clip in clips])
