"""48 numbers for every 10 ms of sound, for models that read sequences: what `melstats` summarises, frame by frame.

| numbers | what |
|---|---|
| 20 | cepstral coefficients |
| 20 | their slopes over five frames |
| 3 | pitch in semitones (0 where there is none), how periodic the frame is, energy in decibels |
| 5 | centroid, bandwidth and roll-off of the spectrum (kHz), flux from the frame before, zero crossings per ms |

Silence at both ends is cut. Shapes: F frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mer.config import AudioEncoderConfig
from mer.features.audio import melstats
from mer.features.audio.melstats import COEFFICIENTS, HOP, PITCH_WINDOW, VOICED, WINDOW, MelStats, Statistics
from mer.features.backbone.clip_encoder import LoadedClip

VERSION = 1  # raise it when a number changes: it is part of the key of cached states
_LOUDNESS = ("pitch_semitones", "periodic", "energy_db")
_SPECTRUM = ("centroid_khz", "bandwidth_khz", "rolloff_khz", "flux", "zero_crossings_per_ms")
NAMES = (
    *(f"mfcc{c:02d}" for c in range(COEFFICIENTS)),
    *(f"mfcc{c:02d}_slope" for c in range(COEFFICIENTS)),
    *_LOUDNESS,
    *_SPECTRUM,
)


class MelFrames(MelStats):
    """MelStats frame by frame; gives states of steps of time, and nothing pooled."""

    width = len(NAMES)

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__(config)
        self.statistics = Frames()

    def steps(self, clips: Sequence[LoadedClip], hidden_state: int) -> list[np.ndarray]:
        """Return float32 (F, 48) for each clip. Args: hidden_state: there is one."""
        return [clip.inputs for clip in clips]


class Frames(Statistics):
    """Turns float32 (S,) at 16 kHz into float32 (F, 48), in the order of NAMES."""

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        wide_FS = melstats.voiced_part(samples)
        edge = (PITCH_WINDOW - WINDOW) // 2
        frames_FS = wide_FS[:, edge : edge + WINDOW]
        power_FK = self.power(frames_FS)
        cepstrum_FC = self.cepstrum(power_FK)
        semitones, periodic = melstats.melody(wide_FS)
        *tracks, flux, crossings = self.spectrum(frames_FS, power_FK)
        tracks = [*tracks, np.concatenate([[0.0], flux]), crossings]
        loudness = [np.where(periodic > VOICED, semitones, 0.0), periodic, melstats.energy_db(frames_FS)]
        columns = [cepstrum_FC, melstats.slopes(cepstrum_FC), np.stack([*loudness, *tracks], axis=1)]
        return np.concatenate(columns, axis=1).astype(np.float32)


def frame_count(samples: int) -> int:
    """Count the frames of a clip, at most: silence is cut later."""
    return max(1, samples // HOP)
