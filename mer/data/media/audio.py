"""Any sound file, or the sound track of any video, as 16 kHz mono samples.

soundfile reads WAV, FLAC, Ogg, MP3, AIFF ...; formats that it does not know go to PyAV (`demux`). The content decides,
not the file name. The resampler turns n samples at `rate` Hz into ceil(n * 16000 / rate).
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

from mer.data.media.demux import SAMPLE_RATE_HZ, promised_samples, sound_track
from mer.data.media.faults import MediaFault
from mer.data.media.files import require_content
from mer.data.media.notices import Notice, sound_notices

MIN_SAMPLES = 400  # 25 ms: the shortest sound from which speech backbones make a frame

_RATES_HZ = range(
    1000, 1_000_001
)  # a header with another rate is damaged, and its sound might need far too much memory
_BLOCK = 4096  # frames read at once; a damaged file loses at most one block of good samples


@dataclass(frozen=True, eq=False)
class Audio:
    """A decoded sound.

    Args:
        samples: float32 (S,), mono, 16 kHz, finite, S >= 1, nominally in [-1, 1].
        duration_s: length of the whole file in seconds, before the cut to `max_seconds`.
        notes: what had to be mended, in words, and notices (`notices_in` finds these); () if nothing.
    """

    samples: np.ndarray
    duration_s: float
    notes: tuple[str, ...] = ()


def audio_length(path: Path, *, max_seconds: float) -> int:
    """Tell from the header alone how many samples `read_audio` will return.

    Exact for a healthy file. A header without a length (a raw stream) counts as the full `max_seconds`.

    Raises: MediaAbsent; MediaFault if the header already shows that the file cannot be used.
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
    """Decode the first `max_seconds` of a sound file, or of a video's sound; the rest is not read.

    Raises: MediaAbsent; MediaFault "no samples", "NaN or infinite samples", "no sound track", or why it cannot be
        decoded. Silence is not a fault, but a notice among the notes.
    """
    cap = _cap(max_seconds)
    require_content(path)
    notes: list[str] = []
    with _opened(path) as sound:
        if sound is not None:
            mono = _read_mono(sound, ceil(max_seconds * sound.samplerate), notes)
            rate, duration_s = sound.samplerate, sound.frames / sound.samplerate
            if notes:  # the header named more than there is
                duration_s = len(mono) / rate
    if sound is None:
        track = sound_track(path, max_seconds=max_seconds)
        mono, rate, duration_s = track.samples.astype(np.float32) / 32768, SAMPLE_RATE_HZ, track.duration_s
        notes.extend(track.notes)
    if not len(mono):
        raise MediaFault(Notice.NO_SAMPLES)
    samples = resample(mono, rate)[:cap] if np.isfinite(mono).all() else mono
    if not np.isfinite(samples).all():
        raise MediaFault("NaN or infinite samples")
    if duration_s > max_seconds:
        notes.append(f"{duration_s:.1f} s long: cut to its first {max_seconds:g} s")
    return Audio(samples, duration_s, (*notes, *sound_notices(samples, duration_s)))


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Resample float32 (n,) at `rate` Hz to float32 (ceil(n * 16000 / rate),) at 16 kHz."""
    return samples if rate == SAMPLE_RATE_HZ else _resampler(rate)(samples)


def _cap(max_seconds: float) -> int:
    return max(1, round(max_seconds * SAMPLE_RATE_HZ))


def _resampled_length(frames: int, rate: int) -> int:
    return -(-frames * SAMPLE_RATE_HZ // rate)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a soundfile.SoundFile; give None if libsndfile does not know the format.

    Raises: MediaFault "no samples", or for a sample rate that no recording has.
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
            raise MediaFault(Notice.NO_SAMPLES)
        yield sound


def _read_mono(sound: Any, most: int, notes: list[str]) -> np.ndarray:
    """Read the first `most` frames, averaged over channels: float32 (n,). Notes if the header named more."""
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
    """Make a function that resamples `rate` Hz to 16 kHz. It keeps its kernel; threads may share it."""
    common = gcd(rate, SAMPLE_RATE_HZ)
    up, down = SAMPLE_RATE_HZ // common, rate // common
    if (
        up * down > 1_000_000
    ):  # torchaudio's kernel has one row per phase, which takes gigabytes for a rate like 44101 Hz
        from scipy.signal import resample_poly

        return lambda samples: np.asarray(resample_poly(samples, up, down), dtype=np.float32)

    import torch
    from torchaudio.transforms import Resample

    transform = Resample(rate, SAMPLE_RATE_HZ)

    def run(samples: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return transform(torch.from_numpy(samples)).numpy()

    return run
