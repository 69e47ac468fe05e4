"""155 numbers that describe how something is said: timbre, its motion, pitch, loudness, rhythm, spectrum.

Statistics over 25 ms frames every 10 ms, after silence at both ends is cut. No weights, one "hidden state".
NumPy and SciPy only, and no BLAS: every sum has one order, so that a clip gives the same bits whatever the number of
threads, and a worker thread never starts threads of its own.

Shapes: S samples, F frames, K frequencies, M mel bands, C cepstral coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mer.config import AudioEncoderConfig
from mer.data.media.audio import SAMPLE_RATE_HZ, audio_length
from mer.features.audio.sound import hear
from mer.features.backbone.clip_encoder import LoadedClip

VERSION = 1  # raise it when a number changes: it is part of the key of cached features
BATCH_SECONDS = 300  # of sound; `load` does the work, so a batch is only the step in which progress is shown

WINDOW, HOP = 400, 160  # 25 ms, 10 ms
MELS, COEFFICIENTS = 64, 20
TRIM_DB = 35.0  # frames further under the loudest are silence when they lie at an end
RANGE_DB = 80.0  # mel bands further under the loudest are lifted to there
FLOOR = 1e-10  # power, -100 dB: digital silence has no logarithm
PITCH_WINDOW, PITCH_FFT = 640, 1024  # 40 ms: nearly three periods of the lowest pitch
LOWEST_HZ, HIGHEST_HZ, REFERENCE_HZ = 70, 500, 100
VOICED = 0.5  # normalised autocorrelation at the pitch period
SAME_HEIGHT = 0.9  # the shortest period whose peak is this close to the highest: multiples of a period peak as well
ROLL_OFF = 0.85

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SETTINGS = {"window": WINDOW, "hop": HOP, "mels": MELS, "coefficients": COEFFICIENTS, "trim_db": TRIM_DB}

_SUMMARY = ("mean", "sd", *(f"q{round(100 * q):02d}" for q in QUANTILES))
_PROSODY = (
    "f0_semitones",
    "f0_slope",
    "energy_db",
    "energy_slope",
    "voicing",
)  # semitones over 100 Hz; slopes per 10 ms
_RHYTHM = ("seconds", "voiced_share", "voiced_runs_per_s", "voiced_run_s", "unvoiced_run_s")
_SPECTRUM = ("centroid_khz", "bandwidth_khz", "rolloff_khz", "flux", "zero_crossings_per_ms")
NAMES: tuple[str, ...] = (
    *(f"mfcc{c}_{what}" for what in ("mean", "sd", "delta_sd", "delta2_sd") for c in range(COEFFICIENTS)),
    *(f"{name}_{what}" for name in _PROSODY for what in _SUMMARY),
    *_RHYTHM,
    *(f"{name}_{what}" for name in _SPECTRUM for what in _SUMMARY),
)


class MelStats:
    """A ClipEncoder without weights. `load` computes the numbers, since it runs in several threads."""

    layers, width = 1, len(NAMES)
    batch_length = BATCH_SECONDS * SAMPLE_RATE_HZ

    def __init__(self, config: AudioEncoderConfig) -> None:
        self.max_seconds = config.max_seconds
        self.statistics = Statistics()

    def probe(self, path: Path) -> int:
        return audio_length(path, max_seconds=self.max_seconds)

    def load(self, path: Path) -> LoadedClip:
        samples, notes = hear(path, max_seconds=self.max_seconds)
        return LoadedClip(self.statistics(samples), notes)

    def encode(self, clips: Sequence[LoadedClip]) -> np.ndarray:
        return np.stack([clip.inputs for clip in clips])[:, None]


class Statistics:
    """Turns float32 (S,) at 16 kHz into float32 (155,), in the order of NAMES. Finite and thread safe."""

    def __init__(self) -> None:
        from scipy.signal.windows import hann
        from scipy.sparse import csr_array
        from torchaudio.functional import create_dct, melscale_fbanks  # the usual definitions

        frequencies = WINDOW // 2 + 1
        mels_KM = melscale_fbanks(frequencies, 0.0, SAMPLE_RATE_HZ / 2, MELS, SAMPLE_RATE_HZ).numpy()
        self._mels_MK = csr_array(mels_KM.T)  # triangles: nearly all zeros
        self._dct_MC = create_dct(COEFFICIENTS, MELS, "ortho").numpy()
        self._hann = hann(WINDOW, sym=False).astype(np.float32)
        self._khz_K = np.linspace(0, SAMPLE_RATE_HZ / 2000, frequencies)

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        wide_FS = voiced_part(samples)
        edge = (PITCH_WINDOW - WINDOW) // 2
        frames_FS = wide_FS[:, edge : edge + WINDOW]
        power_FK = self.power(frames_FS)
        values = [*self._timbre(power_FK), *_prosody(wide_FS, frames_FS), *self._spectrum(frames_FS, power_FK)]
        return np.concatenate(values).astype(np.float32)

    def power(self, frames_FS: np.ndarray) -> np.ndarray:
        """Compute the power spectrum of frames of 25 ms, (F, K)."""
        from scipy.fft import rfft

        bins_FK = rfft(frames_FS * self._hann, axis=1)
        return bins_FK.real**2 + bins_FK.imag**2

    def cepstrum(self, power_FK: np.ndarray) -> np.ndarray:
        """Compute cepstral coefficients (F, C) as torchaudio's MFCC does."""
        mel_FM = decibels((self._mels_MK @ power_FK.T).T)
        return np.einsum("fm,mc->fc", np.maximum(mel_FM, mel_FM.max() - RANGE_DB), self._dct_MC, dtype=np.float64)

    def _timbre(self, power_FK: np.ndarray) -> list[np.ndarray]:
        cepstrum_FC = self.cepstrum(power_FK)
        deltas_FC = slopes(cepstrum_FC)
        return [cepstrum_FC.mean(0), cepstrum_FC.std(0), deltas_FC.std(0), slopes(deltas_FC).std(0)]

    def _spectrum(self, frames_FS: np.ndarray, power_FK: np.ndarray) -> list[np.ndarray]:
        return [_summary(track) for track in self.spectrum(frames_FS, power_FK)]

    def spectrum(self, frames_FS: np.ndarray, power_FK: np.ndarray) -> tuple[np.ndarray, ...]:
        """Compute centroid, bandwidth and roll-off (kHz), flux (one frame fewer), zero crossings per ms; each (F,)."""
        size_FK = np.sqrt(power_FK, dtype=np.float64)
        share_FK = size_FK / np.maximum(size_FK.sum(1, keepdims=True), FLOOR)
        centroid = np.einsum("fk,k->f", share_FK, self._khz_K)
        spread = np.einsum("fk,k->f", share_FK, self._khz_K**2) - centroid**2
        roll_off = (np.cumsum(share_FK, axis=1) < ROLL_OFF).sum(1) * self._khz_K[1] * (size_FK.max(1) > 0)
        unit_FK = size_FK / np.maximum(np.sqrt((size_FK**2).sum(1, keepdims=True)), FLOOR)
        flux = np.sqrt((np.diff(unit_FK, axis=0) ** 2).sum(1))
        negative_FS = frames_FS < 0
        crossings = (negative_FS[:, 1:] != negative_FS[:, :-1]).sum(1) / (1000 * WINDOW / SAMPLE_RATE_HZ)
        return centroid, np.sqrt(np.maximum(spread, 0)), roll_off, flux, crossings


def voiced_part(samples: np.ndarray) -> np.ndarray:
    """Cut sound into frames of 40 ms without the silence at both ends: float32 (F, 640), F >= 1.

    Each is centred on a frame of 25 ms.
    """
    edge = (PITCH_WINDOW - WINDOW) // 2
    padded = np.pad(samples, (edge, edge + max(0, WINDOW - len(samples))))
    wide_FS = sliding_window_view(padded, PITCH_WINDOW)[::HOP]
    level = energy_db(wide_FS[:, edge : edge + WINDOW])
    loud = np.flatnonzero(level >= level.max() - TRIM_DB)
    return wide_FS[loud[0] : loud[-1] + 1]


def decibels(power: np.ndarray) -> np.ndarray:
    """Turn power into decibels."""
    return 10 * np.log10(np.maximum(power, FLOOR))


def energy_db(frames_FS: np.ndarray) -> np.ndarray:
    """Mean energy of each frame (F,), in decibels."""
    return decibels((frames_FS.astype(np.float64) ** 2).mean(1))


def pitch(wide_FS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the pitch in Hz at the peak of the normalised autocorrelation, and that peak's height in [0, 1]; both (F,).

    A frame whose autocorrelation has no peak between LOWEST_HZ and HIGHEST_HZ has height 0 and no meaningful pitch.
    """
    from scipy.fft import irfft, rfft

    # The lags in question and a neighbour on either side, as slices: an index array of columns copies slowly.
    first, last = SAMPLE_RATE_HZ // HIGHEST_HZ - 1, SAMPLE_RATE_HZ // LOWEST_HZ + 2
    centred_FS = wide_FS - wide_FS.mean(1, keepdims=True)
    bins = rfft(centred_FS, PITCH_FFT, axis=1)  # long enough that nothing wraps round up to the longest lag
    products = irfft(bins.real**2 + bins.imag**2, PITCH_FFT, axis=1)[:, first : last + 1]
    energy = np.cumsum(centred_FS.astype(np.float64) ** 2, axis=1)
    head = energy[:, PITCH_WINDOW - 1 - last : PITCH_WINDOW - first][:, ::-1]
    tail = energy[:, -1:] - energy[:, first - 1 : last]
    height = products / np.sqrt(np.maximum(head * tail, (PITCH_WINDOW * FLOOR) ** 2))

    inner = height[:, 1:-1]
    peaks = np.where((inner >= height[:, :-2]) & (inner > height[:, 2:]), inner, 0.0)
    chosen = np.argmax(peaks >= SAME_HEIGHT * peaks.max(1, keepdims=True), axis=1)
    row = np.arange(len(chosen))
    before, at, after = (height[row, chosen + step] for step in range(3))
    bend = before - 2 * at + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, -1.0), 0.0).clip(-0.5, 0.5)
    return SAMPLE_RATE_HZ / (first + 1 + chosen + shift), peaks[row, chosen].clip(0, 1)


def melody(wide_FS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the pitch of every frame in semitones over REFERENCE_HZ, and how periodic it is, as `pitch` says; both (F,).

    Two seconds at a time: the arrays stay in the processor's cache, a third less time for the same bits.
    """
    blocks = [pitch(wide_FS[start : start + 200]) for start in range(0, len(wide_FS), 200)]
    hz, height = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return 12 * np.log2(hz / REFERENCE_HZ), height


def _prosody(wide_FS: np.ndarray, frames_FS: np.ndarray) -> list[np.ndarray]:
    semitones, height = melody(wide_FS)
    voiced = height > VOICED
    energy = energy_db(frames_FS)
    slopes = np.diff(semitones)[voiced[1:] & voiced[:-1]]
    tracks = (semitones[voiced], slopes, energy, np.diff(energy), height)
    return [*(_summary(track) for track in tracks), _rhythm(voiced)]


def _rhythm(voiced: np.ndarray) -> np.ndarray:
    frame_s = HOP / SAMPLE_RATE_HZ
    seconds = len(voiced) * frame_s
    edges = np.flatnonzero(np.diff(voiced)) + 1
    runs = np.diff(edges, prepend=0, append=len(voiced)) * frame_s
    on = runs[0 if voiced[0] else 1 :: 2]
    off = runs[1 if voiced[0] else 0 :: 2]
    means = [float(run.mean()) if len(run) else 0.0 for run in (on, off)]
    return np.array([seconds, voiced.mean(), len(on) / seconds, *means])


def _summary(track: np.ndarray) -> np.ndarray:
    """Mean, standard deviation and five quantiles; zeros for a track without values, e.g. the pitch of a whisper."""
    if not len(track):
        return np.zeros(len(_SUMMARY))
    return np.array([track.mean(), track.std(), *np.quantile(track, QUANTILES)])


def slopes(track_FC: np.ndarray) -> np.ndarray:
    """Slope of a line through five frames (F, C); the ends are repeated."""
    padded: Any = np.pad(track_FC, ((2, 2), (0, 0)), mode="edge")
    return (2 * (padded[4:] - padded[:-4]) + padded[3:-1] - padded[1:-3]) / 10
