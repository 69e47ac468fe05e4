"""Clips that somebody else sends: headers that lie, sizes that fill the memory, things that are no files."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import soundfile
import torchaudio  # noqa: F401 - what it maps must be there before memory is bounded
from hostile_door import HERE, Door, Input, file_input
from hostile_folders import changed_folder, irregular, with_bytes
from hostile_mutations import mutated_bytes
from scipy import signal  # noqa: F401

from mer.data.media.audio import audio_length, read_audio
from mer.data.media.demux import video_duration_s
from mer.data.media.faults import MediaFault
from mer.data.media.track import sound_track
from mer.data.media.video import read_frames
from mer.errors import MerError

SECONDS = 20.0
_RATE = 16000


def read_sound(path: Path) -> None:
    try:
        expected = audio_length(path, max_seconds=SECONDS)
        heard = read_audio(path, max_seconds=SECONDS)
    except MediaFault as fault:
        raise MerError(path, str(fault)) from fault
    assert heard.samples.dtype == np.float32 and heard.samples.ndim == 1
    assert 1 <= len(heard.samples) <= SECONDS * _RATE and expected <= SECONDS * _RATE, len(heard.samples)
    assert np.isfinite(heard.samples).all() and np.isfinite(heard.duration_s) and heard.duration_s >= 0


def read_track(path: Path) -> None:
    """As `prepare` does."""
    try:
        track = sound_track(path, max_seconds=SECONDS)
    except MediaFault as fault:
        raise MerError(path, str(fault)) from fault
    assert track.samples.dtype == np.int16 and 1 <= len(track.samples) <= SECONDS * _RATE
    assert np.isfinite(track.duration_s) and track.duration_s >= 0


def read_pictures(path: Path) -> None:
    try:
        frames = read_frames(path, 8, max_seconds=SECONDS)
        if path.is_file():
            assert np.isfinite(video_duration_s(path))
    except MediaFault as fault:
        raise MerError(path, str(fault)) from fault
    assert frames.images.dtype == np.uint8 and frames.images.shape[0] == 8 and frames.images.shape[3] == 3
    assert np.isfinite(frames.duration_s) and frames.duration_s >= 0


# ---- sound


def wav(
    *,
    rate: int = _RATE,
    channels: int = 1,
    bits: int = 16,
    form: int = 1,
    data: bytes | None = None,
    says: int | None = None,
    align: int | None = None,
) -> bytes:
    """Write a WAV file. Args: says: the length of its data by the header; align: bytes of a sample of all channels."""
    content = bytes(np.int16(8000 * np.sin(np.arange(_RATE) / 10)).tobytes()) if data is None else data
    align = channels * bits // 8 if align is None else align
    head = struct.pack("<HHIIHH", form, channels, rate, rate * align % 2**32, align % 2**16, bits)
    length = len(content) if says is None else says
    chunks = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", length) + content
    return b"RIFF" + struct.pack("<I", (len(chunks)) % 2**32) + chunks


def flac(samples: int, *, rate: int = _RATE) -> bytes:
    import io

    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(samples, np.int16), rate, format="FLAC")
    return stream.getvalue()


@cache
def _sounds(base: Path) -> list[Path]:
    """Good files of several formats, to be mutated."""
    tone = (0.4 * np.sin(np.arange(12_000) / 9)).astype(np.float32)
    made = []
    for name, options in {
        "a.wav": {},
        "a.flac": {},
        "a.ogg": {},
        "a.mp3": {},
        "a.aiff": {},
        "a.caf": {},
        "b.wav": {"subtype": "FLOAT"},
    }.items():
        soundfile.write(base / name, tone, _RATE, **options)
        made.append(base / name)
    for name, codec in {"a.m4a": "aac", "a.mka": "flac", "a.webm": "libopus"}.items():
        with av.open(str(base / name), "w") as container:
            stream = container.add_stream(codec, rate=48000, layout="mono")
            kind = "s16" if codec == "flac" else "fltp" if codec == "aac" else "flt"
            block = (tone[None, :9600] * (32767 if kind == "s16" else 1)).astype(
                np.int16 if kind == "s16" else np.float32
            )
            frame = av.AudioFrame.from_ndarray(block, kind, "mono")
            frame.sample_rate, frame.pts = 48000, 0
            for one in (frame, None):
                container.mux(stream.encode(one))
        made.append(base / name)
    return made


STAND_INS = {
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    "a web page": b"<!DOCTYPE html><html>gone</html>",
    "a zip": b"PK\x03\x04" + b"\x00" * 100,
    "a gzip": b"\x1f\x8b\x08" + b"\x00" * 100,
    "nothing": b"",
    "one byte": b"\x00",
    "text": b"this is no sound\n" * 1000,
    "random": random.Random(0).randbytes(50_000),
    "zeros": b"\x00" * 1_000_000,
}


def kinds_of_sound(base: Path) -> list[Input]:
    many = b"\x00\x01" * 2_000_000
    files: list[tuple[str, bytes, Any]] = [
        ("good", wav(), "accepted"),
        ("rate 0", wav(rate=0), "refused"),
        ("rate 1", wav(rate=1), "refused"),
        ("rate 999", wav(rate=999), "refused"),
        ("rate 999 999", wav(rate=999_999, data=many), "refused"),
        ("rate 2**31 - 1", wav(rate=2**31 - 1), "refused"),
        ("rate 2**32 - 1", wav(rate=2**32 - 1), "refused"),
        ("rate 384 000", wav(rate=384_000, data=many), "accepted"),
        ("rate 383 999", wav(rate=383_999, data=many), "accepted"),
        ("rate 44 101", wav(rate=44_101, data=many), "accepted"),
        ("rate 99 991", wav(rate=99_991, data=many), "accepted"),
        ("no channel", wav(channels=0), "refused"),
        ("255 channels", wav(channels=255, data=many), ""),
        ("1 025 channels", wav(channels=1025, data=many), ""),
        ("65 535 channels", wav(channels=65_535, data=many), ""),
        ("0 bits", wav(bits=0), ""),
        ("65 535 bits", wav(bits=65_535), ""),
        ("3 bits", wav(bits=3), ""),
        ("data of 4 GB by its header", wav(says=2**32 - 1), ""),
        ("no data by its header", wav(says=0), ""),
        ("an alignment of 0", wav(align=0), ""),
        ("an alignment of 65 535", wav(align=65_535), ""),
        ("an unknown form", wav(form=0x1234), ""),
        ("NaN", wav(form=3, bits=32, data=np.full(4000, np.nan, np.float32).tobytes()), "refused"),
        ("infinity", wav(form=3, bits=32, data=np.full(4000, np.inf, np.float32).tobytes()), "refused"),
        ("3e38", wav(form=3, bits=32, data=np.full(4000, 3e38, np.float32).tobytes()), ""),
        ("an hour of silence in few bytes", flac(3600 * _RATE), "accepted"),
        ("one sample", wav(data=b"\x01\x00"), "accepted"),
        ("half a sample", wav(data=b"\x01"), ""),
        *((kind, content, "refused") for kind, content in STAND_INS.items()),
    ]
    made = [file_input(kind, f"clip.{ending}", content, must) for ending in ("wav",) for kind, content, must in files]
    made += [file_input(f"{kind} as mp3", "clip.mp3", content) for kind, content in STAND_INS.items()]
    made += [
        file_input("good, as .raw", "clip.raw", wav(), "accepted"),
        file_input("a colon", "a:b.wav", wav(), "accepted"),
    ]
    return [*made, *_no_files("clip.wav", base)]


def _no_files(name: str, base: Path) -> list[Input]:
    source = base / "clips"
    source.mkdir(exist_ok=True)
    (source / name).write_bytes(wav())
    changes = irregular(name).items()
    return [changed_folder(f"{name} is {kind}", source, change, "refused", give=name) for kind, change in changes]


def mutants_of_sound(base: Path, rng: random.Random) -> Iterator[Input]:
    return _mutants(_sounds(base), rng)


def _mutants(files: Sequence[Path], rng: random.Random) -> Iterator[Input]:
    while True:
        path = rng.choice(files)
        content = path.read_bytes()
        if rng.random() < 0.5:  # the header is where lies are
            what, head = mutated_bytes(content[:200], rng)
            content = head + content[200:]
        else:
            what, content = mutated_bytes(content, rng)
        yield file_input(f"{path.name}: {what}", path.name, content)


# ---- pictures


@cache
def _videos(base: Path) -> list[Path]:
    made = []
    for name, codec in {"a.mp4": "mpeg4", "a.mkv": "libx264", "a.avi": "mpeg4", "a.webm": "libvpx"}.items():
        with av.open(str(base / name), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt, stream.thread_count = 64, 48, "yuv420p", 1
            for index in range(12):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * index, np.uint8), format="rgb24")
                frame.pts = index
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        made.append(base / name)
    return made


def png(width: int, height: int, *, rows: int | None = None) -> bytes:
    """Write a black picture of one bit a pixel. Args: rows: how many are there; None: as many as it says."""
    line = bytes(1 + (width + 7) // 8) if rows != 0 else b""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(line * 100) for _ in range((height if rows is None else rows) // 100 + 1))
    packed += packer.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def kinds_of_pictures(base: Path) -> list[Input]:
    mp4 = _videos(base)[0].read_bytes()
    avi = _videos(base)[2].read_bytes()
    found = [file_input(kind, "clip.mp4", content, "refused") for kind, content in STAND_INS.items()]
    found += [file_input("good", path.name, path.read_bytes(), "accepted") for path in _videos(base)]
    for number in (0, 1, 2**16 - 1, 2**31 - 1, 2**32 - 1):
        for what, place in {"length": mp4.index(b"mvhd") + 20, "scale": mp4.index(b"mvhd") + 16}.items():
            changed = mp4[:place] + struct.pack(">I", number) + mp4[place + 4 :]
            found.append(file_input(f"{what} {number}", "clip.mp4", changed))
        table = mp4.index(b"stts") + 16
        changed = mp4[:table] + struct.pack(">I", number) + mp4[table + 4 :]
        found.append(file_input(f"each frame lasts {number}", "clip.mp4", changed))
        place = mp4.index(b"mp4v") + 28
        changed = mp4[:place] + struct.pack(">HH", number % 2**16, number % 2**16) + mp4[place + 4 :]
        found.append(file_input(f"{number % 2**16} pixels wide and high", "clip.mp4", changed))
        place = avi.index(b"strf") + 12
        changed = avi[:place] + struct.pack("<II", number, number) + avi[place + 8 :]
        found.append(file_input(f"AVI, {number} pixels wide and high", "clip.avi", changed))
        place = avi.index(b"strh") + 28
        changed = avi[:place] + struct.pack("<II", number, 1) + avi[place + 8 :]
        found.append(file_input(f"AVI, scale {number}", "clip.avi", changed))
        changed = avi[:place] + struct.pack("<II", 1, number) + avi[place + 8 :]
        found.append(file_input(f"AVI, rate {number}", "clip.avi", changed))
    good = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    folders: list[tuple[str, dict[str, bytes], Any]] = [
        ("good pictures", {"1.png": good, "2.png": good}, "accepted"),
        ("no pictures", {"a.txt": b"x"}, "refused"),
        ("a picture of 30 000 x 30 000", {"1.png": png(30_000, 30_000)}, "refused"),
        ("a picture of 100 000 x 100 000", {"1.png": png(100_000, 100_000, rows=10)}, "refused"),
        ("a picture of 2**31 pixels", {"1.png": png(2**31 - 1, 1, rows=0)}, "refused"),
        ("a picture of nothing", {"1.png": b""}, "refused"),
        ("text called a picture", {"1.jpg": b"no picture" * 100}, "refused"),
        ("a picture cut short", {"1.png": good[:60]}, ""),
        ("pictures of two sizes", {"1.png": good, "2.png": png(100, 100)}, "accepted"),
        ("a strip", {"1.png": png(30_000, 1)}, ""),
    ]
    found += [Input(kind, _folder(files), must) for kind, files, must in folders]
    pictures = base / "pictures"
    pictures.mkdir(exist_ok=True)
    (pictures / "1.png").write_bytes(good)
    changes = irregular("1.png").items()
    found += [changed_folder(f"a picture is {kind}", pictures, change, "refused") for kind, change in changes]
    return [*found, *(hostile for hostile in _no_files("clip.mp4", base) if "a folder" not in hostile.kind)]


def _folder(files: dict[str, bytes]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        place = folder / "pictures"
        place.mkdir()
        for name, content in files.items():
            with_bytes(name, content)(place)
        return place

    return write


def mutants_of_pictures(base: Path, rng: random.Random) -> Iterator[Input]:
    return _mutants(_videos(base), rng)


def kinds_of_track(base: Path) -> list[Input]:
    return [
        hostile for hostile in kinds_of_sound(base) if not hostile.kind.startswith(("good, as .raw", "NaN", "infinity"))
    ]


def mutants_of_track(base: Path, rng: random.Random) -> Iterator[Input]:
    return _mutants([*_sounds(base), *_videos(base)], rng)


assert HERE.is_dir()
DOORS: Sequence[Door] = [
    Door("sound", read_sound, kinds_of_sound, mutants_of_sound),
    Door("sound track", read_track, kinds_of_track, mutants_of_track),
    Door("pictures", read_pictures, kinds_of_pictures, mutants_of_pictures),
]
