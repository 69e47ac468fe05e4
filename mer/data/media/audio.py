"""Any sound file, or the sound track of any video, as 16 kHz mono samples.

soundfile reads WAV, FLAC, Ogg, MP3, AIFF ...; formats that it does not know, and sound of more than two channels, go to
PyAV (`track`). The content decides, not the file name. The resampler turns n samples at `rate` Hz into
ceil(n * 16000 / rate).
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

from mer.data.media.channels import Levels, cancelled_words, weights
from mer.data.media.demux import SAMPLE_RATE_HZ
from mer.data.media.faults import MediaFault
from mer.data.media.files import require_content
from mer.data.media.notices import Notice, sound_notices
from mer.data.media.track import RATES_HZ, promised_samples, sound_track

MIN_SAMPLES = 400  # 25 ms: the shortest sound from which speech backbones make a frame

MOST_PHASES = 100_000  # SciPy's filter has 20 times as many taps; FFmpeg resamples rates like 383999 Hz
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
            most = ceil(max_seconds * sound.samplerate)
            mono, said = _read_mono(sound, most)
            notes.extend(said)
            rate, early = sound.samplerate, len(mono) < min(sound.frames, most)
            duration_s = (len(mono) if early else sound.frames) / rate
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
    """Open a soundfile.SoundFile; give None if libsndfile does not know the format, or PyAV is to read it.

    Raises: MediaFault "no samples", or for a sample rate that no recording has.
    """
    import soundfile

    try:
        sound = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError, TypeError):  # TypeError: a name ending in .raw
        sound = None
    with sound or contextlib.nullcontext():
        if sound is not None and sound.samplerate not in RATES_HZ:
            raise MediaFault(f"a sample rate of {sound.samplerate} Hz")
        if sound is not None and not sound.frames:
            raise MediaFault(Notice.NO_SAMPLES)
        ours = sound is not None and sound.channels <= 2 and _ratio(sound.samplerate)[1] <= MOST_PHASES
        yield sound if ours else None


def _read_mono(sound: Any, most: int, only: int | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read the first `most` frames of one or two channels: their mean, or one of them; float32 (n,), and notes."""
    import soundfile

    promised = min(sound.frames, most)
    levels = Levels(weights([""] * sound.channels))
    blocks: list[np.ndarray] = []
    left = promised
    while left:
        try:
            block = sound.read(min(left, _BLOCK), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            break
        if not len(block):
            break
        blocks.append(block.mean(axis=1) if only is None else block[:, only].copy())
        if sound.channels == 2:
            levels.add(block.T)
        left -= len(block)
    if left and not blocks:
        raise MediaFault("cannot be decoded: no good block of sound")
    mono = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if only is None and sound.channels == 2 and levels.cancelled(mono):
        with contextlib.suppress(soundfile.LibsndfileError):
            sound.seek(0)
            mono, notes = _read_mono(sound, most, only=levels.loudest)
            return mono, (*notes, cancelled_words(2, levels.loudest))
    early = f"ends early: {(promised - left) / sound.samplerate:.1f} of {promised / sound.samplerate:.1f} s"
    return mono, (early,) if left else ()


def _ratio(rate: int) -> tuple[int, int]:
    """Reduce 16000 / rate to its lowest terms."""
    common = gcd(rate, SAMPLE_RATE_HZ)
    return SAMPLE_RATE_HZ // common, rate // common


@lru_cache(maxsize=16)
def _resampler(rate: int) -> Callable[[np.ndarray], np.ndarray]:
    """Make a function that resamples `rate` Hz to 16 kHz. It keeps its kernel; threads may share it."""
    up, down = _ratio(rate)
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
