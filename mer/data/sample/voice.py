"""The voices of the generated corpus: vowels on a pitch curve, in the manner of an emotion, without words.

A voice shows the emotion of its utterance if the plan says that "audio" shows it; otherwise it is neutral.
"""

from __future__ import annotations

import random
from dataclasses import astuple, dataclass
from itertools import pairwise

import numpy as np

from mer.data.sample.plan import PlannedUtterance, generator, pick

RATE_HZ = 16000
STEP = 64  # samples are multiples of it: halves the FLAC files; its noise is 33 dB below the quietest voice
NEUTRAL_RMS = 1800.0
HIGHEST_HZ = 5000.0
_FRAME = 80  # samples (5 ms) between two points of the pitch curve
_TABLE = 512  # points of one period


@dataclass(frozen=True, slots=True)
class Manner:
    """Sound of an emotion. Pitches in semitones relative to the speaker's own."""

    pitch: float
    glide: float  # rise from start to end
    liveliness: float  # how far syllables depart from that line
    syllables_per_s: float
    level_db: float
    tilt_db: float  # loss per octave of overtones; a smaller loss sounds pressed
    tremor: float  # unsteadiness of the pitch: at 8 Hz, and from frame to frame


MANNERS = {
    "neutral": Manner(0.0, -2.0, 1.0, 4.0, 0.0, -9.0, 0.1),
    "joy": Manner(4.5, 1.0, 4.0, 5.0, 3.0, -7.0, 0.1),
    "sadness": Manner(-2.5, -5.0, 0.4, 2.4, -7.0, -13.0, 0.15),
    "anger": Manner(2.0, -3.0, 2.0, 6.0, 8.0, -3.0, 0.4),
    "fear": Manner(7.0, 2.0, 0.8, 7.0, -3.0, -9.0, 1.2),
    "disgust": Manner(-4.0, -6.0, 2.0, 2.8, 3.0, -4.0, 0.5),
    "surprise": Manner(4.0, 11.0, 1.5, 3.4, 4.0, -7.5, 0.1),
}
_SPREAD = Manner(0.6, 0.8, 0.15, 0.3, 0.8, 0.5, 0.04)  # how much clips of one emotion differ

_VOWELS_HZ = ((730, 1150), (520, 1800), (330, 2200), (480, 880), (340, 800))  # two formants each


def voice(utterance: PlannedUtterance, seed: int) -> np.ndarray:
    """Make the sound: int16 (S,), mono, 16 kHz, as long as the plan says."""
    rng = generator(seed, utterance.split, utterance.dialogue, f"voice {utterance.number}")
    manner = _manner(utterance.emotion if "audio" in utterance.shows else "neutral", rng)
    speaker = random.Random(f"mer-sample/{seed}/speaker/{utterance.speaker}/voice")
    base_hz, throat = 100.0 * 2 ** (1.1 * speaker.random()), 0.92 + 0.16 * speaker.random()
    length = round((utterance.end_s - utterance.start_s) * RATE_HZ)
    onset, samples = int((0.04 + 0.08 * rng.random()) * RATE_HZ), np.zeros(length)
    spoken = length - onset - int((0.04 + 0.08 * rng.random()) * RATE_HZ)
    edges = _syllable_edges(rng, spoken, manner)
    pitch_hz = _pitch_hz(rng, spoken, edges, manner, base_hz)
    phase = np.cumsum(pitch_hz) / RATE_HZ
    for start, end in pairwise(edges):
        loudness = 0.7 + 0.3 * rng.random()
        table = _period(pick(rng, _VOWELS_HZ), throat, float(pitch_hz[start:end].mean()), manner.tilt_db)
        at = (phase[start:end] * _TABLE).astype(np.int64) % _TABLE
        envelope = np.sin(np.pi * (np.arange(end - start) + 0.5) / (end - start)) ** 0.6
        samples[onset + start : onset + end] = loudness * envelope * table[at]
    wanted_rms = NEUTRAL_RMS * 10 ** (manner.level_db / 20)
    samples *= wanted_rms / float(np.sqrt(np.mean(samples[onset : onset + spoken] ** 2)))
    return (np.clip(np.rint(samples / STEP), -500, 500) * STEP).astype(np.int16)


def _manner(emotion: str, rng: random.Random) -> Manner:
    """Vary the emotion's manner: random strength, and a small random change of each part."""
    strength = 0.8 + 0.35 * rng.random()
    ways = zip(astuple(MANNERS["neutral"]), astuple(MANNERS[emotion]), astuple(_SPREAD), strict=True)
    return Manner(*(calm + strength * (full - calm) + spread * (2 * rng.random() - 1) for calm, full, spread in ways))


def _syllable_edges(rng: random.Random, spoken: int, manner: Manner) -> list[int]:
    """Draw the sample numbers at which syllables begin and end; the first is 0, the last is `spoken`."""
    count = max(2, round(spoken / RATE_HZ * manner.syllables_per_s))
    lengths = np.array([0.75 + 0.5 * rng.random() for _ in range(count)])
    return [0, *(int(edge) for edge in np.cumsum(lengths[:-1]) / lengths.sum() * spoken), spoken]


def _pitch_hz(rng: random.Random, spoken: int, edges: list[int], manner: Manner, base_hz: float) -> np.ndarray:
    """Draw the pitch of every sample (Hz): a line, an accent per syllable, tremor."""
    accents = [manner.liveliness * (1 if number % 2 else -1) * (0.5 + rng.random()) for number in range(len(edges) - 1)]
    middles = [(start + end) / 2 for start, end in pairwise(edges)]
    times = np.arange(0, spoken + _FRAME, _FRAME)
    semitones = manner.pitch + manner.glide * (times / spoken - 0.5) + np.interp(times, middles, accents)
    shaken = np.sin(2 * np.pi * (8.0 * times / RATE_HZ + rng.random()))
    semitones += manner.tremor * (shaken + np.array([2 * rng.random() - 1 for _ in times]))
    return base_hz * 2 ** (np.interp(np.arange(spoken), times, semitones) / 12)


def _period(formants_hz: tuple[int, int], throat: float, pitch_hz: float, tilt_db: float) -> np.ndarray:
    """Make one period of a vowel (512,), with overtones up to 5 kHz, so that none aliases."""
    order = np.arange(1, max(2, int(HIGHEST_HZ / pitch_hz)) + 1)
    gain = 10 ** (tilt_db * np.log2(order) / 20)
    nearest = [np.exp(-(((order * pitch_hz - throat * formant) / 220.0) ** 2)) for formant in formants_hz]
    gain *= 0.15 + nearest[0] + 0.7 * nearest[1]
    sine = np.sin(2 * np.pi * np.arange(_TABLE) / _TABLE)
    # not `@`: BLAS sums in an order that differs from machine to machine
    return np.einsum("h,ht->t", gain, sine[np.outer(order, np.arange(_TABLE)) % _TABLE])
