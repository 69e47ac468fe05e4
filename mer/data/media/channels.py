"""Several channels become one without a change of loudness, and without cancelling each other out.

One channel: itself. Two: their mean. More (5.1, 7.1, microphones side by side): a weighted sum, scaled to the loudness
of the loudest channel, since a film's speech comes out of one of six, and a plain mean would make it six times quieter.

A mix with less than a tenth of the loudest channel's loudness has cancelled itself out (one microphone wired the wrong
way round: opposite phase). The loudest channel is read then, and the clip has a note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mer.data.media.notices import SILENCE

CANCELLED = 0.1
_FRONT, _SURROUND = 0.5**0.5, 0.5  # as in ITU-R BS.775; the centre counts whole, the low-frequency effects nothing


@dataclass(slots=True)
class Levels:
    """Root mean square of each of C channels, gathered block by block."""

    weights_C: np.ndarray
    energy_C: np.ndarray = field(init=False)
    samples: int = 0

    def __post_init__(self) -> None:
        self.energy_C = np.zeros(len(self.weights_C))

    def add(self, block_CS: np.ndarray) -> None:
        self.energy_C += np.square(block_CS, dtype=np.float64).sum(axis=1)
        self.samples += block_CS.shape[1]

    @property
    def loudest(self) -> int:
        """Number of the loudest channel among those that count; the first of several that are equally loud."""
        energy_C = np.where(self.weights_C > 0, self.energy_C, -1.0)
        return int((energy_C >= 0.95 * energy_C.max()).argmax())

    @property
    def highest(self) -> float:
        """Loudness of that channel."""
        return float(np.sqrt(max(0.0, self.energy_C[self.loudest]) / max(1, self.samples)))

    def cancelled(self, mono: np.ndarray) -> bool:
        """True if a mix (S,), in the scale of the blocks, has lost the sound that its channels have."""
        return self.highest > SILENCE and loudness(mono) < CANCELLED * self.highest

    def as_loud(self, mono: np.ndarray) -> np.ndarray:
        """Scale a mix (S,) to the loudness of the loudest channel."""
        level = loudness(mono)
        return mono * np.float32(self.highest / level) if level > 0 else mono


def loudness(samples: np.ndarray) -> float:
    """Root mean square of (S,); 0.0 of none."""
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean())) if len(samples) else 0.0


def weights(names: Sequence[str]) -> np.ndarray:
    """Weigh channels by FFmpeg's names of them (FL FR FC LFE BL ...): float32 (C,), sum 1.

    Channels without names have the usual ones of a file with so many, or count alike.
    """
    if not set(names) & set(_BY_COUNT[8]):
        names = _BY_COUNT.get(len(names), names)
    weights_C = np.array([_weight(name) for name in names], dtype=np.float32)
    return weights_C / weights_C.sum() if weights_C.any() else np.full(len(names), 1 / len(names), np.float32)


def _weight(name: str) -> float:
    if name.startswith("LFE"):
        return 0.0
    if name in ("FL", "FR"):
        return _FRONT
    return _SURROUND if name[:1] in ("B", "S", "T", "W") else 1.0


_BY_COUNT: dict[int, Sequence[str]] = {
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}


def cancelled_words(count: int, taken: int) -> str:
    """Word the note of a clip whose channels cancel each other out."""
    which = ("left one", "right one")[taken] if count == 2 else f"loudest, number {taken + 1},"
    return f"its {count} channels cancel each other out: the {which} is read"
