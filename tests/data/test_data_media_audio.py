"""Sound: any file becomes 16 kHz mono samples of the promised number, or one short reason why not."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from media_files import sine, truncate, write_flac, write_video, write_wav

from mer.data.media import MediaAbsent, MediaFault
from mer.data.media.audio import SAMPLE_RATE_HZ, Audio, audio_length, read_audio
from mer.data.media.demux import video_duration_s
from mer.data.media.demux import write_flac as write_track
from mer.data.media.notices import sound_notices
from mer.data.media.track import sound_track


def read(path: Path, max_seconds: float = 20.0) -> Audio:
    """Read, and check what holds for every sound."""
    sound = read_audio(path, max_seconds=max_seconds)
    assert sound.samples.dtype == np.float32 and sound.samples.ndim == 1
    assert np.isfinite(sound.samples).all()
    return sound


def pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * SAMPLE_RATE_HZ / len(samples))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000, 11127])
@pytest.mark.parametrize("frames", [1, 401, 30001])
def test_the_header_promises_exactly_what_is_read(tmp_path: Path, rate: int, frames: int) -> None:
    path = write_wav(tmp_path / "a.wav", rate=rate, samples=sine(5, rate=rate)[:frames])
    sound = read(path)
    assert len(sound.samples) == ceil(frames * 16000 / rate) == audio_length(path, max_seconds=20)
    assert sound.duration_s == pytest.approx(frames / rate)
    assert sound.notes == sound_notices(sound.samples, sound.duration_s)
    if frames > 30000:
        inner = slice(200, -200)
        assert np.abs(sound.samples - sine(len(sound.samples) / 16000))[inner].max() < 5e-3  # whatever the rate


def test_stereo_at_48_khz_becomes_the_mean_of_its_channels(tmp_path: Path) -> None:
    left, right = sine(1, rate=48000, hz=440, level=0.6), sine(1, rate=48000, hz=1000, level=0.2)
    sound = read(write_wav(tmp_path / "a.wav", rate=48000, samples=np.stack([left, right], axis=1)))
    expected = (sine(1, hz=440, level=0.6) + sine(1, hz=1000, level=0.2)) / 2
    assert np.abs(sound.samples - expected)[100:-100].max() < 1e-3


def test_what_lies_above_8_khz_is_filtered_not_folded(tmp_path: Path) -> None:
    sound = read(write_wav(tmp_path / "a.wav", 1, rate=48000, hz=11000))
    assert np.abs(sound.samples)[200:-200].max() < 0.01


@pytest.mark.parametrize(
    ("subtype", "error"), [("PCM_U8", 0.01), ("PCM_16", 1e-4), ("PCM_24", 1e-6), ("FLOAT", 1e-7), ("DOUBLE", 1e-7)]
)
def test_every_width_of_wav(tmp_path: Path, subtype: str, error: float) -> None:
    sound = read(write_wav(tmp_path / "a.wav", 0.5, subtype=subtype))
    assert np.abs(sound.samples - sine(0.5)).max() < error


@pytest.mark.parametrize(
    ("format", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("AIFF", "PCM_16")]
)
def test_other_formats_whatever_the_name(tmp_path: Path, format: str, subtype: str) -> None:
    path = write_wav(tmp_path / "a.bin", 1.5, rate=48000, format=format, subtype=subtype)
    assert len(read(path).samples) == 24000 == audio_length(path, max_seconds=20)
    assert pitch_hz(read(path).samples) == pytest.approx(440, abs=1)


def test_a_long_sound_is_cut_and_only_its_head_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_flac(tmp_path / "a.flac", 305, rate=16000)
    whole = soundfile.SoundFile.read
    asked: list[int] = []

    def counting(self: soundfile.SoundFile, frames: int = -1, *args: object, **settings: object) -> np.ndarray:
        asked.append(frames)
        return whole(self, frames, *args, **settings)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    sound = read(path)
    assert sound.notes == ("305.0 s long: cut to its first 20 s",)
    assert sound.duration_s == pytest.approx(305)
    assert len(sound.samples) == 320000 == audio_length(path, max_seconds=20)
    assert sum(asked) == 320000


def test_the_cap_holds_at_rates_it_does_not_divide(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", 1, rate=11025)
    assert len(read(path, 0.1).samples) == 1600 == audio_length(path, max_seconds=0.1)


def test_silence_is_not_a_fault(tmp_path: Path) -> None:
    assert not read(write_wav(tmp_path / "a.wav", samples=np.zeros(800))).samples.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_sample_that_is_no_number_is_a_fault(tmp_path: Path, value: float, rate: int) -> None:
    samples = sine(0.5, rate=rate)
    samples[100] = value
    path = write_wav(tmp_path / "a.wav", rate=rate, samples=samples, subtype="FLOAT")
    with pytest.raises(MediaFault, match=r"^NaN or infinite samples$"):
        read_audio(path, max_seconds=20)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.wav", b"", "^0 bytes$"),
        ("text.wav", b"It was a dark and stormy night.\n" * 40, "^cannot be decoded: "),
        ("noise.mp4", bytes(range(256)) * 20, "^cannot be decoded: "),
    ],
)
def test_what_is_no_sound(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    for ask in (audio_length, read_audio):
        with pytest.raises(MediaFault, match=message) as caught:
            ask(tmp_path / name, max_seconds=20)
        assert str(tmp_path) not in str(caught.value)


def test_no_samples_no_file_no_such_rate(tmp_path: Path) -> None:
    rateless = write_wav(tmp_path / "rate.wav", 0.1)
    data = bytearray(rateless.read_bytes())
    data[24:28] = (4_000_000_000).to_bytes(4, "little")
    rateless.write_bytes(bytes(data))
    for ask in (audio_length, read_audio):
        with pytest.raises(MediaFault, match=r"^no samples$"):
            ask(write_wav(tmp_path / "a.wav", 0), max_seconds=20)
        with pytest.raises(MediaAbsent, match=r"^no such file$"):
            ask(tmp_path / "b.wav", max_seconds=20)
        with pytest.raises(MediaFault, match=r"^not a file: a folder$"):
            ask(tmp_path, max_seconds=20)
        with pytest.raises(MediaFault, match=r"sample rate|cannot be decoded"):
            ask(rateless, max_seconds=20)


def test_a_cut_off_flac_gives_its_good_part(tmp_path: Path) -> None:
    path = truncate(write_flac(tmp_path / "a.flac", samples=np.random.default_rng(0).uniform(-0.5, 0.5, 160000)))
    sound = read(path)
    assert audio_length(path, max_seconds=20) == 160000  # the header's word
    assert 64000 < len(sound.samples) <= 80000
    assert sound.notes == (f"ends early: {len(sound.samples) / 16000:.1f} of 10.0 s",)
    assert sound.duration_s == len(sound.samples) / 16000


@pytest.mark.parametrize(("rate", "layout"), [(48000, "mono"), (44100, "stereo"), (16000, "mono")])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_the_sound_of_a_video(tmp_path: Path, suffix: str, rate: int, layout: str) -> None:
    path = write_video(tmp_path / f"a{suffix}", 25, rate=rate, layout=layout)
    sound = read(path)
    assert len(sound.samples) == audio_length(path, max_seconds=20)
    assert len(sound.samples) == 16000 or (suffix == ".mkv" and 16000 < len(sound.samples) < 17100)
    assert pitch_hz(sound.samples[:16000]) == pytest.approx(440, abs=1)
    assert np.sqrt(np.square(sound.samples[2000:14000]).mean()) == pytest.approx(0.5 / np.sqrt(2), abs=0.02)
    assert not sound.notes
    (note,) = read(path, 0.25).notes
    assert note.endswith(" s long: cut to its first 0.25 s")
    for cap in (0.25, 0.999, 1.0, 1.001):  # the last one lies in the codec's tail
        assert len(read(path, cap).samples) == audio_length(path, max_seconds=cap) <= round(cap * 16000)


def test_a_track_is_cut_to_its_duration_and_written_as_flac(tmp_path: Path) -> None:
    track = sound_track(write_video(tmp_path / "a.mp4", 75, rate=44100, layout="stereo"))
    assert track.samples.dtype == np.int16 and len(track.samples) == 48000 and track.duration_s == 3.0
    write_track(tmp_path / "new" / "a.flac", track.samples)
    again, rate = soundfile.read(tmp_path / "new" / "a.flac", dtype="int16")
    assert rate == 16000 and np.array_equal(again, track.samples)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.flac"]


def test_a_full_disk_names_the_flac_file_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A file size limit makes the kernel refuse the write, as a full disk does."""
    import errno
    import resource

    noise = np.random.default_rng(0).integers(-9000, 9000, 16000).astype(np.int16)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(OSError) as caught:
            write_track(tmp_path / "a.flac", noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "a.flac"))
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_sound(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 10, sound=False)
    for ask in (audio_length, read_audio):
        with pytest.raises(MediaFault, match=r"^no sound track$"):
            ask(path, max_seconds=20)
    with pytest.raises(MediaFault, match=r"^no sound track$"):
        sound_track(path)


def test_a_cut_off_mp4_with_its_index_in_front_gives_its_good_part(tmp_path: Path) -> None:
    path = truncate(write_video(tmp_path / "a.mp4", 75, size=(320, 240), faststart=True))
    track = sound_track(path)
    assert 8000 < len(track.samples) < 40000
    assert track.notes[-1] == f"sound ends early: {len(track.samples) / 16000:.1f} of 3.0 s"
    assert read(path).notes == track.notes
    assert pitch_hz(track.samples.astype(float)) == pytest.approx(440, abs=2)


def test_a_cut_off_mp4_with_its_index_behind_is_a_fault(tmp_path: Path) -> None:
    path = truncate(write_video(tmp_path / "a.mp4", 75))
    for ask in (sound_track, video_duration_s):
        with pytest.raises(MediaFault, match=r"^cannot be decoded: "):
            ask(path)


def test_the_duration_of_a_video_is_its_headers(tmp_path: Path) -> None:
    assert video_duration_s(write_video(tmp_path / "a.mp4", 75)) == pytest.approx(3.0, abs=0.01)
    with pytest.raises(MediaAbsent):
        video_duration_s(tmp_path / "b.mp4")


def test_threads_read_what_one_reads(tmp_path: Path) -> None:
    paths = [write_wav(tmp_path / f"{rate}.wav", 0.3, rate=rate) for rate in (8000, 16000, 44100, 48000)]
    paths.append(write_video(tmp_path / "a.mp4", 10))
    alone = [read(path).samples for path in paths] * 8
    with ThreadPoolExecutor(8) as pool:
        together = [sound.samples for sound in pool.map(read, paths * 8)]
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_importing_the_package_imports_no_decoder() -> None:
    script = (
        "import sys, mer.data.media, mer.data.media.audio, mer.data.media.video, mer.data.media.demux;"
        "print([m for m in ('cv2', 'av', 'soundfile', 'torch', 'torchaudio') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
