"""Any sound file, or the sound track of any video, as 16 kHz mono samples.

soundfile reads WAV, FLAC, Ogg, MP3, AIFF ...; what it does not know goes to PyAV (`demux`). The content decides,
not the name. Length rule of the resampler: n samples at `rate` become ceil(n * 16000 / rate).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, gcd
from pathlib import Path
from typing import Any

import numpy as np

from mer.data.media.demux import SAMPLE_RATE_HZ, promised_samples, require_content, sound_track
from mer.data.media.faults import MediaFault

MIN_SAMPLES = 400  # 25 ms: the shortest sound of which speech backbones make a frame

_RATES_HZ = range(1000, 1_000_001)  # a header beyond these is damaged, and would ask for absurd memory
_BLOCK = 4096  # frames read at once; a damaged file loses at most one block of what was good


@dataclass(frozen=True, eq=False)
class Audio:
    """A sound, decoded.

    Args:
        samples: float32 (S,), mono, 16 kHz, finite, S >= 1, nominally in [-1, 1].
        duration_s: of the whole file, before the cap.
        notes: what had to be mended on the way, in words; () for a sound in order.
    """

    samples: np.ndarray
    duration_s: float
    notes: tuple[str, ...] = ()


def audio_length(path: Path, *, max_seconds: float) -> int:
    """How many samples `read_audio` will return, from the header alone.

    Exact for a healthy file. A header that does not say (a raw stream) counts as the full `max_seconds`.
    Raises: MediaAbsent; MediaFault when it is certain already that the file cannot be used.
    """
    cap = _cap(max_seconds)
    require_content(path)
    with _opened(path) as sound:
        if sound is not None:
            frames = min(sound.frames, ceil(max_seconds * sound.samplerate))
            return min(_resampled_length(frames, sound.samplerate), cap)
    promised = promised_samples(path)
    return cap if promised is None else min(promised, cap)


def read_audio(path: Path, *, max_seconds: float) -> Audio:
    """Decode the first `max_seconds` of a sound file, or of a video's sound; nothing behind them is read.

    Raises: MediaAbsent; MediaFault "no samples", "NaN or infinite samples", "no sound track", or why it cannot be
        decoded. Silence is not a fault.
    """
    cap = _cap(max_seconds)
    require_content(path)
    notes: list[str] = []
    with _opened(path) as sound:
        if sound is not None:
            mono = _read_mono(sound, ceil(max_seconds * sound.samplerate), notes)
            rate, duration_s = sound.samplerate, sound.frames / sound.samplerate
            if notes:  # the header promised too much
                duration_s = len(mono) / rate
    if sound is None:
        track = sound_track(path, max_seconds=max_seconds)
        mono, rate, duration_s = track.samples.astype(np.float32) / 32768, SAMPLE_RATE_HZ, track.duration_s
        notes.extend(track.notes)
    if not len(mono):
        raise MediaFault("no samples")
    samples = resample(mono, rate)[:cap] if np.isfinite(mono).all() else mono
    if not np.isfinite(samples).all():
        raise MediaFault("NaN or infinite samples")
    if duration_s > max_seconds:
        notes.append(f"{duration_s:.1f} s long: cut to its first {max_seconds:g} s")
    return Audio(samples, duration_s, tuple(notes))


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """float32 (n,) at `rate` Hz -> float32 (ceil(n * 16000 / rate),) at 16 kHz."""
    return samples if rate == SAMPLE_RATE_HZ else _resampler(rate)(samples)


def _cap(max_seconds: float) -> int:
    return max(1, round(max_seconds * SAMPLE_RATE_HZ))


def _resampled_length(frames: int, rate: int) -> int:
    return -(-frames * SAMPLE_RATE_HZ // rate)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A soundfile.SoundFile; None when libsndfile does not know the format.

    Raises: MediaFault "no samples", or for a rate that no recording has.
    """
    import soundfile

    try:
        sound = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError, TypeError):  # TypeError: a name ending in .raw
        sound = None
    with sound or contextlib.nullcontext():
        if sound is not None and sound.samplerate not in _RATES_HZ:
            raise MediaFault(f"a sample rate of {sound.samplerate} Hz")
        if sound is not None and not sound.frames:
            raise MediaFault("no samples")
        yield sound


def _read_mono(sound: Any, most: int, notes: list[str]) -> np.ndarray:
    """The first `most` frames, float32 (n,), the mean of the channels; fewer than the header promised are noted."""
    import soundfile

    promised = min(sound.frames, most)
    blocks: list[np.ndarray] = []
    left = promised
    while left:
        try:
            block = sound.read(min(left, _BLOCK), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            break
        if not len(block):
            break
        blocks.append(block.mean(axis=1))
        left -= len(block)
    if left:
        if not blocks:
            raise MediaFault("cannot be decoded: no good block of sound")
        notes.append(f"ends early: {(promised - left) / sound.samplerate:.1f} of {promised / sound.samplerate:.1f} s")
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


@lru_cache(maxsize=16)
def _resampler(rate: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function that resamples `rate` to 16 kHz. It holds its kernel, and may run in several threads at once."""
    common = gcd(rate, SAMPLE_RATE_HZ)
    up, down = SAMPLE_RATE_HZ // common, rate // common
    if up * down > 1_000_000:  # torchaudio's kernel has one row per phase: gigabytes for a rate such as 44101 Hz
        from scipy.signal import resample_poly

        return lambda samples: np.asarray(resample_poly(samples, up, down), dtype=np.float32)

    import torch
    from torchaudio.transforms import Resample

    transform = Resample(rate, SAMPLE_RATE_HZ)

    def run(samples: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return transform(torch.from_numpy(samples)).numpy()

    return run
