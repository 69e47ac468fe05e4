"""Statistics of sound: known sounds have known numbers, and any sound has finite ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from audio_backbones import voice, write_wav

from mer.config import AudioEncoderConfig
from mer.data.media.faults import MediaAbsent
from mer.features import audio
from mer.features.audio.melstats import NAMES, MelStats, Statistics, pitch, voiced_part

RATE = 16000


@pytest.fixture(scope="module")
def statistics() -> Statistics:
    return Statistics()


@pytest.fixture(scope="module")
def measure(statistics: Statistics) -> Callable[[np.ndarray], dict[str, float]]:
    return lambda samples: dict(zip(NAMES, statistics(samples.astype(np.float32)).tolist(), strict=True))


def tone(hz: float, seconds: float = 1.0, amplitude: float = 0.3) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE))


def test_the_names_are_155_and_distinct():
    assert len(NAMES) == len(set(NAMES)) == 155
    card = audio.describe(AudioEncoderConfig(), None)
    assert (card.name, card.layers, card.width, card.pooler) == ("melstats", 1, 155, "")


@pytest.mark.parametrize("hz", [80, 110, 200, 333, 490])
def test_the_pitch_of_a_voice(hz, measure):
    for sound in (tone(hz), voice(1.0, hz=hz)):
        found = measure(sound)
        assert 100 * 2 ** (found["f0_semitones_q50"] / 12) == pytest.approx(hz, rel=0.005)
        assert found["f0_semitones_sd"] < 0.1
        assert found["voicing_mean"] > 0.95
        assert found["voiced_share"] == 1.0
        assert found["unvoiced_run_s"] == 0.0


def test_a_rising_pitch_has_a_slope(measure):
    octave_up = 0.3 * np.sin(2 * np.pi * np.cumsum(150 * 2 ** np.linspace(0, 1, RATE)) / RATE)
    found = measure(octave_up)
    assert found["f0_slope_mean"] == pytest.approx(12 / 100, rel=0.05)  # 12 semitones in 100 steps of 10 ms
    assert measure(octave_up[::-1])["f0_slope_mean"] == pytest.approx(-12 / 100, rel=0.05)


def test_noise_has_no_pitch(measure):
    found = measure(0.1 * np.random.default_rng(0).normal(size=RATE))
    assert found["voiced_share"] < 0.05
    assert found["voicing_mean"] < 0.4


def test_pitch_is_that_of_a_loop_over_periods():
    frames = voiced_part(voice(0.3, hz=170))
    hz, height = pitch(frames)
    for frame, found, peak in zip(frames.astype(np.float64), hz, height, strict=True):
        x = frame - frame.mean()
        value = {}
        for lag in range(31, 231):
            a, b = x[:-lag], x[lag:]
            value[lag] = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
        peaks = [lag for lag in range(32, 230) if value[lag - 1] <= value[lag] > value[lag + 1]]
        best = max(value[lag] for lag in peaks)
        period = next(lag for lag in peaks if value[lag] >= 0.9 * best)
        assert peak == pytest.approx(value[period], abs=1e-4)
        assert abs(RATE / found - period) <= 0.5


def test_twice_as_loud_is_six_decibels_and_nothing_else(measure):
    quiet, loud = measure(voice(1.5)), measure(2 * voice(1.5))
    moved = {"energy_db_mean", *(f"energy_db_q{q}" for q in ("05", "25", "50", "75", "95"))}
    for name in moved:
        assert loud[name] - quiet[name] == pytest.approx(6.0206, abs=1e-3)
    assert loud["mfcc0_mean"] - quiet["mfcc0_mean"] == pytest.approx(6.0206 * 8, abs=0.01)  # sum / sqrt(64 bands)
    for name in set(NAMES) - moved - {"mfcc0_mean"}:
        assert loud[name] == pytest.approx(quiet[name], abs=2e-3), name


def test_cepstrum_is_torchaudios(statistics):
    import torch
    from torchaudio.transforms import MFCC

    samples = voice(1.0)
    mel = {"n_fft": 400, "hop_length": 160, "n_mels": 64, "center": False}
    expected = MFCC(RATE, n_mfcc=20, melkwargs=mel)(torch.from_numpy(samples)).numpy().T
    frames = voiced_part(samples)[:, 120:520]
    assert len(frames) == len(expected) == 98  # no silence to cut
    np.testing.assert_allclose(statistics.cepstrum(statistics.power(frames)), expected, atol=5e-3)


def test_spectrum_of_a_tone(measure):
    found = measure(tone(1000))
    assert found["centroid_khz_mean"] == pytest.approx(1.0, abs=0.02)
    assert found["rolloff_khz_q50"] == pytest.approx(1.0, abs=0.05)
    assert found["bandwidth_khz_mean"] < 0.2
    assert found["zero_crossings_per_ms_mean"] == pytest.approx(2.0, abs=0.05)
    assert found["flux_mean"] < 0.01
    assert found["energy_db_mean"] == pytest.approx(10 * np.log10(0.3**2 / 2), abs=0.02)


def test_silence_at_the_ends_is_cut_and_inside_is_kept(measure):
    word = voice(0.8)
    alone = measure(word)
    framed = measure(np.concatenate([silence(0.5), word, silence(0.7)]))
    assert framed["seconds"] == pytest.approx(alone["seconds"], abs=0.05)  # frames that are partly silent
    assert framed["energy_db_q50"] == pytest.approx(alone["energy_db_q50"], abs=0.5)
    with_pause = measure(np.concatenate([word, silence(0.4), word]))
    assert with_pause["seconds"] == pytest.approx(2.0, abs=0.05)
    assert with_pause["unvoiced_run_s"] == pytest.approx(0.4, abs=0.05)
    assert with_pause["voiced_run_s"] == pytest.approx(0.8, abs=0.05)
    assert with_pause["voiced_runs_per_s"] == pytest.approx(1.0, abs=0.05)
    hum = 10 ** (-40 / 20) * tone(120, 0.5)  # 40 dB under the word's peaks goes, 20 dB stays
    assert measure(np.concatenate([hum * 0.3, word]))["seconds"] == pytest.approx(alone["seconds"], abs=0.04)
    assert measure(np.concatenate([hum * 30, word]))["seconds"] > alone["seconds"] + 0.4


@pytest.mark.parametrize(
    "samples",
    [
        silence(1.0),
        np.ones(RATE),
        np.zeros(1),
        np.full(1, 0.5),
        tone(200)[:399],
        tone(200)[:401],
        np.sign(tone(200)),
        1e6 * tone(200),
        1e-9 * tone(200),
        np.eye(1, RATE, 8000)[0],
        np.tile([1.0, -1.0], 8000),
    ],
    ids=["silent", "constant", "one zero", "one", "short", "frame", "clipped", "huge", "tiny", "click", "nyquist"],
)
def test_any_sound_has_finite_numbers_that_half_precision_holds(samples, statistics):
    values = statistics(samples.astype(np.float32))
    assert values.shape == (155,)
    assert values.dtype == np.float32
    assert np.isfinite(values.astype(np.float16)).all()


def test_silence_is_unvoiced(measure):
    found = measure(silence(1.0))
    assert found["voiced_share"] == found["voicing_mean"] == found["f0_semitones_mean"] == 0.0
    assert found["energy_db_mean"] == -100.0
    assert found["seconds"] == pytest.approx(0.98)


def test_the_same_bits_in_any_thread_and_with_any_number(tmp_path):
    import torch

    paths = [write_wav(tmp_path / f"{i}.wav", voice(0.5 + 0.3 * i, hz=100 + 20 * i, seed=i)) for i in range(6)]
    encoder = MelStats(AudioEncoderConfig())
    one = encoder.encode([encoder.load(path) for path in paths])
    torch.set_num_threads(2)  # the fixture one_thread puts it back
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            np.testing.assert_array_equal(encoder.encode(list(pool.map(encoder.load, paths))), one)
    assert one.shape == (6, 1, 155)


def test_as_an_encoder(tmp_path):
    encoder = audio.open_encoder(AudioEncoderConfig(max_seconds=1.0), None)
    long = write_wav(tmp_path / "long.wav", voice(2.0))
    short = write_wav(tmp_path / "short.wav", voice(0.01))
    assert [encoder.probe(path) for path in (long, short)] == [16000, 160]
    assert encoder.load(short).notes == ("shorter than 100 ms",)
    clip = encoder.load(long)
    assert clip.notes == ("2.0 s long: cut to its first 1 s",)
    np.testing.assert_array_equal(encoder.encode([clip])[0, 0], Statistics()(voice(2.0)[:16000]))
    with pytest.raises(MediaAbsent):
        encoder.load(tmp_path / "nothing.wav")


def test_a_clip_takes_milliseconds(statistics):
    samples = voice(4.0)
    statistics(samples)
    took = []
    for _ in range(5):
        start = time.perf_counter()
        statistics(samples)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.05  # 6 ms; the margin is for a busy machine


@pytest.mark.real
def test_emotions_of_real_voices_are_told_apart(real_data):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    encoder = MelStats(AudioEncoderConfig())
    rows: dict[bool, tuple[list[np.ndarray], list[str]]] = {True: ([], []), False: ([], [])}
    for path in sorted(Path(real_data("ravdess"), "audio").glob("*.flac")):
        codes = path.stem.split("-")
        if int(codes[6]) <= 20:  # actors 1-16 train, 17-20 dev
            features, labels = rows[int(codes[6]) <= 16]
            features.append(encoder.encode([encoder.load(path)])[0, 0])
            labels.append(codes[2])
    assert [len(labels) for _, labels in rows.values()] == [959, 240]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=2000)).fit(*rows[True])
    assert f1_score(rows[False][1], model.predict(rows[False][0]), average="weighted") >= 0.50
