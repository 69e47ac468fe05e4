"""Decoded frames of FFmpeg's, of any rate and number of channels, as blocks of one channel at 16 kHz."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mer.data.media.channels import Levels, weights
from mer.data.media.demux import SAMPLE_RATE_HZ
from mer.data.media.faults import MediaFault

FULL_SCALE = 32768


@dataclass(slots=True)
class Mixer:
    """Mixes one or two channels by FFmpeg's mean in 16 bits, more of them, or `only` one, in floating point."""

    channels: int
    weights_C: np.ndarray
    resampler: Any
    whole: bool
    only: int | None = None
    levels: Levels = field(init=False)

    def __post_init__(self) -> None:
        self.levels = Levels(self.weights_C)

    def mix(self, frame: Any) -> list[np.ndarray]:
        """Mix a frame to blocks (S,), int16 or float32; None gives what is left in the resampler."""
        if self.whole and self.channels > 1 and frame is not None:
            self.levels.add(_float_channels(frame))
        blocks = [block.to_ndarray().reshape(-1) for block in self.resampler.resample(frame)]
        return blocks if self.whole else [self._weighted(block.reshape(-1, self.channels).T) for block in blocks]

    def _weighted(self, block_CS: np.ndarray) -> np.ndarray:
        if not np.isfinite(block_CS).all():
            raise MediaFault("NaN or infinite samples")
        self.levels.add(block_CS)
        return block_CS[self.only] if self.only is not None else self.weights_C @ block_CS

    def as_float(self, mix: np.ndarray) -> np.ndarray:
        """Give the mix (S,) in the scale of `levels`."""
        return mix.astype(np.float32) / FULL_SCALE if mix.dtype == np.int16 else mix

    def finished(self, mix: np.ndarray) -> np.ndarray:
        """Give the whole mix as int16 (S,); one of more than two channels as loud as the loudest of them."""
        if self.whole:
            return mix
        mix = mix if self.only is not None else self.levels.as_loud(mix)
        return np.round(mix * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def open_mixer(layout: Any, only: int | None) -> Mixer:
    """Open a mixer for frames of this `av.AudioLayout`."""
    import av

    weights_C = weights([channel.name for channel in layout.channels] or [""])  # a damaged header names no channel
    channels = len(weights_C)
    if channels <= 2 and only is None:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
        return Mixer(channels, weights_C, resampler, whole=True)
    # packed: PyAV 18 reads beyond the planes of a frame of more than eight channels
    resampler = av.AudioResampler(format="flt", layout=layout, rate=SAMPLE_RATE_HZ)
    return Mixer(channels, weights_C, resampler, whole=False, only=only)


def _float_channels(frame: Any) -> np.ndarray:
    """Give the samples of a frame of at most two channels as float32 (C, S) in [-1, 1]."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if np.issubdtype(samples.dtype, np.integer):
        return samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    return samples.astype(np.float32, copy=False)
