"""Which sound track is read, and how channels become one: nothing is lost without a word, loudness stays."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media_files import sine, write_wav

from mer.data.media import MediaFault
from mer.data.media.audio import audio_length, read_audio
from mer.data.media.notices import Notice, notices_in

TONE, ZERO = sine(1, rate=48000, level=0.4), np.zeros(48000, np.float32)


def write_tracks(path: Path, *tracks: tuple[np.ndarray, str, str], codec: str = "aac") -> Path:
    """Write a container with sound tracks: (samples (C, S) at 48 kHz, layout, names of dispositions)."""
    import av
    from av.stream import Disposition

    with av.open(str(path), "w") as container:
        streams = []
        for samples, layout, flags in tracks:
            stream = container.add_stream(codec, rate=48000, layout=layout)
            stream.disposition = sum((Disposition[flag] for flag in flags.split()), Disposition(0))
            streams.append((stream, np.atleast_2d(samples), layout))
        for stream, samples, layout in streams:
            for start in range(0, samples.shape[1], 960):
                block = np.ascontiguousarray(samples[:, start : start + 960].astype(np.float32))
                frame = av.AudioFrame.from_ndarray(block, "fltp", layout)
                frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def heard(path: Path) -> tuple[float, float, tuple[str, ...]]:
    """(root mean square, pitch in Hz, notes) of the inner half of a sound."""
    sound = read_audio(path, max_seconds=20)
    assert abs(len(sound.samples) - audio_length(path, max_seconds=20)) < 1700
    inner = sound.samples[len(sound.samples) // 4 : -len(sound.samples) // 4]
    spectrum = np.abs(np.fft.rfft(inner * np.hanning(len(inner))))
    return float(np.sqrt(np.square(inner).mean())), float(spectrum.argmax() * 16000 / len(inner)), sound.notes


LEVEL = 0.4 / np.sqrt(2)
HIGH = sine(1, rate=48000, hz=880, level=0.4)


READ = {
    "first empty": (("", "default"), (ZERO, TONE), 440, "2 sound tracks: number 2 is read, the default one"),
    "default second": (("", "default"), (HIGH, TONE), 440, "2 sound tracks: number 2 is read, the default one"),
    "default first": (("default", ""), (HIGH, TONE), 880, "2 sound tracks: number 1 is read, the default one"),
    "default empty": (("default", ""), (ZERO, TONE), 440, "2 sound tracks: number 2 is read, the first with sound"),
    "no default": (("", "", ""), (ZERO, HIGH, TONE), 880, "3 sound tracks: number 2 is read, the first with sound"),
    "commentary": (("comment", ""), (HIGH, TONE), 440, "2 sound tracks: number 2 is read, the first with sound"),
}
IN_FILES = [
    pytest.param(suffix, *case, id=f"{name}{suffix}")
    for suffix in (".mkv", ".mp4")
    for name, case in READ.items()
    if suffix == ".mkv" or any(case[0])  # mp4 marks its first track where none is marked
]


@pytest.mark.parametrize(("suffix", "flags", "tracks", "hz", "said"), IN_FILES)
def test_the_track_that_is_read(tmp_path: Path, suffix: str, flags, tracks, hz: float, said: str) -> None:
    path = write_tracks(tmp_path / f"a{suffix}", *((t, "mono", f) for t, f in zip(tracks, flags, strict=True)))
    level, pitch, notes = heard(path)
    assert (pitch, level) == (pytest.approx(hz, abs=3), pytest.approx(LEVEL, rel=0.05))
    if suffix == ".mp4" and "comment" in flags:
        assert notes[0].startswith("2 sound tracks: number 2")
    else:
        assert notes == (said,)


def test_tracks_that_are_all_silent_are_silence(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mkv", (ZERO, "mono", ""), (ZERO, "mono", "default"))
    notes = read_audio(path, max_seconds=20).notes
    assert notes[0] == "2 sound tracks: number 2 is read, all are silent"
    assert notices_in(notes) == (Notice.SILENT,)


CENTRE = np.stack([ZERO, ZERO, TONE, ZERO, ZERO, ZERO])
EQUAL = np.stack([TONE] * 6)
FRONT = np.stack([TONE, TONE, ZERO, ZERO, ZERO, ZERO])
REAR = np.stack([ZERO, ZERO, ZERO, ZERO, ZERO, TONE])
AMBIENT = CENTRE + 0.004 * np.random.default_rng(0).standard_normal(CENTRE.shape).astype(np.float32)
RUMBLE = CENTRE + np.stack([ZERO, ZERO, ZERO, sine(1, rate=48000, hz=40, level=0.5), ZERO, ZERO])


@pytest.mark.parametrize(
    "channels", [CENTRE, EQUAL, FRONT, REAR, AMBIENT, RUMBLE], ids=["C", "all", "L+R", "Rs", "C+room", "LFE"]
)
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mkv", ".m4a"])
def test_surround_sound_is_as_loud_as_its_loudest_channel(tmp_path: Path, suffix: str, channels: np.ndarray) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix in (".wav", ".flac"):
        write_wav(path, rate=48000, samples=channels.T, format=suffix[1:].upper())
    else:
        write_tracks(path, (channels, "5.1", "default"))
    level, pitch, notes = heard(path)
    assert (level, pitch, notes) == (pytest.approx(LEVEL, rel=0.06), pytest.approx(440, abs=3), ())


@pytest.mark.parametrize("count", [3, 4, 5, 7, 8, 12, 24])
def test_any_number_of_channels(tmp_path: Path, count: int) -> None:
    samples = np.stack([TONE] * count, axis=1)
    level, pitch, _ = heard(write_wav(tmp_path / "a.wav", rate=48000, samples=samples))
    assert (level, pitch) == (pytest.approx(LEVEL, rel=0.02), pytest.approx(440, abs=3))


NOISE = 0.002 * np.random.default_rng(1).standard_normal(48000).astype(np.float32)


@pytest.mark.parametrize(
    ("left", "right", "taken", "level"),
    [
        (TONE, -TONE, "left", LEVEL),
        (-TONE + NOISE, TONE - NOISE[::-1], "left|right", LEVEL),
        (0.9 * TONE, -TONE, "right", LEVEL),
    ],
    ids=["exact", "with noise", "one louder"],
)
@pytest.mark.parametrize("suffix", [".wav", ".ogg", ".m4a", ".mkv"])
def test_opposite_phase_is_not_silence(tmp_path: Path, suffix: str, left, right, taken: str, level: float) -> None:
    path, samples = tmp_path / f"a{suffix}", np.stack([left, right])
    if suffix in (".m4a", ".mkv"):
        write_tracks(path, (samples, "stereo", "default"))
    else:
        format, subtype = ("WAV", "PCM_16") if suffix == ".wav" else ("OGG", "OPUS")
        write_wav(path, rate=48000, samples=samples.T, format=format, subtype=subtype)
    found, pitch, notes = heard(path)
    assert (found, pitch) == (pytest.approx(level, rel=0.06), pytest.approx(440, abs=3))
    (note,) = notes
    assert note.startswith("its 2 channels cancel each other out: the ") and note.endswith(" one is read")
    assert any(f"the {side} one" in note for side in taken.split("|"))


def test_opposite_phase_in_surround(tmp_path: Path) -> None:
    samples = np.stack([TONE, -TONE, ZERO, ZERO, 0.5 * TONE, -0.5 * TONE], axis=1)
    level, _, notes = heard(write_wav(tmp_path / "a.wav", rate=48000, samples=samples))
    assert level == pytest.approx(LEVEL, rel=0.02)
    assert notes == ("its 6 channels cancel each other out: the loudest, number 1, is read",)


def test_plain_stereo_is_its_mean_as_ever(tmp_path: Path) -> None:
    """One side alone, and two that differ: neither is scaled, neither has a note."""
    for right in (ZERO, HIGH, -0.5 * TONE):
        path = write_wav(tmp_path / "a.wav", rate=48000, samples=np.stack([TONE, right], axis=1), subtype="FLOAT")
        sound = read_audio(path, max_seconds=20)
        expected = read_audio(
            write_wav(tmp_path / "b.wav", rate=48000, samples=(TONE + right) / 2, subtype="FLOAT"), max_seconds=20
        )
        assert sound.notes == () and np.abs(sound.samples - expected.samples).max() < 1e-6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_surround_sample_that_is_no_number(tmp_path: Path, bad: float) -> None:
    samples = np.stack([TONE] * 6, axis=1)
    samples[1000, 4] = bad
    path = write_wav(tmp_path / "a.wav", rate=48000, samples=samples, subtype="FLOAT")
    with pytest.raises(MediaFault, match=r"^NaN or infinite samples$"):
        read_audio(path, max_seconds=20)


@pytest.mark.parametrize("rate", [999_999, 384_001, 999, 2_000_000_000])
@pytest.mark.parametrize("channels", [1, 6])
def test_a_rate_that_no_recording_has_is_refused_before_decoding(tmp_path: Path, rate: int, channels: int) -> None:
    path = write_wav(tmp_path / "a.wav", 0.2, channels=channels)
    data = bytearray(path.read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(bytes(data))
    for ask in (read_audio, audio_length):
        with pytest.raises(MediaFault, match=r"sample rate|cannot be decoded"):
            ask(path, max_seconds=20)


@pytest.mark.parametrize("rate", [383_999, 191_999, 12_345])
def test_an_odd_rate_takes_little_memory(tmp_path: Path, rate: int) -> None:
    import tracemalloc

    path = write_wav(tmp_path / "a.wav", 1.0, rate=rate)
    read_audio(write_wav(tmp_path / "b.wav", 0.1, rate=8000), max_seconds=20)  # imports
    tracemalloc.start()
    sound = read_audio(path, max_seconds=20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6 and len(sound.samples) == pytest.approx(16000, abs=1)
