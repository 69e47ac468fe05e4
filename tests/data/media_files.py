"""Good and bad clips, written where a test asks: sound of a known pitch, video whose frames carry their own number."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

CODE_BITS = 10  # frames are numbered modulo 1024


def sine(seconds: float, *, rate: int = 16000, hz: float = 440.0, level: float = 0.5) -> np.ndarray:
    """float32 (S,): a pure tone."""
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_wav(
    path: Path,
    seconds: float = 1.0,
    *,
    rate: int = 16000,
    channels: int = 1,
    subtype: str = "PCM_16",
    hz: float = 440.0,
    samples: np.ndarray | None = None,
    format: str = "WAV",
) -> Path:
    """A sound file by soundfile; `samples` (S,) or (S, channels) replace the tone. Returns `path`."""
    import soundfile

    if samples is None:
        samples = np.repeat(sine(seconds, rate=rate, hz=hz)[:, None], channels, axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype, format=format)
    return path


def write_flac(path: Path, seconds: float = 1.0, **settings: Any) -> Path:
    """Write a FLAC file; arguments as `write_wav`."""
    return write_wav(path, seconds, format="FLAC", **settings)


def coded_frame(index: int, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3): upright stripes, white for the 1 bits of `index` (lowest bit leftmost), black for the 0 bits."""
    width, height = size
    bits = (index >> (np.arange(width) * CODE_BITS // width)) & 1
    return np.repeat(np.repeat((bits * 255).astype(np.uint8)[None, :, None], height, axis=0), 3, axis=2)


def frame_code(image: np.ndarray) -> int:
    """The number drawn into a frame (H, W, 3) by `coded_frame`, after any codec and any resizing."""
    height, width = image.shape[:2]
    centres = (np.arange(CODE_BITS) * 2 + 1) * width // (2 * CODE_BITS)
    return int(((image[height // 2, centres].mean(axis=1) > 127) << np.arange(CODE_BITS)).sum())


def write_video(
    path: Path,
    frames: int = 25,
    *,
    fps: float = 25,
    size: tuple[int, int] = (64, 48),
    sound: bool = True,
    codec: str = "mpeg4",
    colour: tuple[int, int, int] | None = None,
    times: Sequence[float] | None = None,
    rate: int = 48000,
    layout: str = "mono",
    hz: float = 440.0,
    sound_seconds: float | None = None,
    faststart: bool = False,
    rotation: int = 0,
) -> Path:
    """A video with an AAC tone of the same length. The container follows the suffix (.mp4, .mkv, .avi, .mov ...).

    Args:
        size: (width, height), odd numbers allowed.
        colour: RGB of every frame; None numbers the frames (`frame_code` reads the number).
        times: seconds at which each frame is shown (a variable frame rate), whole milliseconds; replaces frames.
        sound_seconds: length of the sound, if not that of the pictures.
        faststart: mp4 with its index in front, so that a truncated copy still opens.
        rotation: mp4 only: 90, 180 or 270 degrees clockwise that a player has to turn the pictures by, as phones do.
    """
    import av

    frames = frames if times is None else len(times)
    seconds = frames / fps if times is None else times[-1] + 1 / fps
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "+faststart"} if faststart else {}) as container:
        video = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.thread_count = 1
        if codec == "mpeg4":
            video.bit_rate = 2_000_000
        if times is not None:
            video.codec_context.time_base = Fraction(1, 1000)
        tone = container.add_stream("aac", rate=rate, layout=layout) if sound else None
        length = seconds if sound_seconds is None else sound_seconds
        channels = len(av.AudioLayout(layout).channels)
        samples = np.repeat(sine(length, rate=rate, hz=hz)[None], channels, axis=0) if tone else np.zeros((1, 0))
        written = 0
        for index in range(frames + 1):
            shown = index / fps if times is None else times[min(index, frames - 1)]
            while written < samples.shape[1] and (written / rate <= shown or index == frames):  # interleaved
                block = np.ascontiguousarray(samples[:, written : written + 1024])
                sound_frame = av.AudioFrame.from_ndarray(block, "fltp", layout)
                sound_frame.sample_rate, sound_frame.pts, sound_frame.time_base = rate, written, Fraction(1, rate)
                container.mux(tone.encode(sound_frame))
                written += 1024
            if index == frames:
                break
            plain = np.full((size[1], size[0], 3), colour, np.uint8) if colour else coded_frame(index, size)
            frame = av.VideoFrame.from_ndarray(plain, format="rgb24")
            frame.pts = index if times is None else round(times[index] * 1000)
            frame.time_base = 1 / Fraction(fps).limit_denominator(1001) if times is None else Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if tone is not None:
            container.mux(tone.encode(None))
    if rotation:
        _turn(path, rotation)
    return path


def _turn(path: Path, degrees: int) -> None:
    """Write a display matrix into the header of the first track (tkhd, version 0) of an mp4: PyAV only reads them."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    a, b = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", a * one, b * one, 0, -b * one, a * one, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))


def truncate(path: Path, fraction: float = 0.5) -> Path:
    """Cut a file off after this fraction of its bytes, in place."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


def write_images(folder: Path, count: int, *, size: tuple[int, int] = (64, 48), suffix: str = ".png") -> Path:
    """A folder of numbered images frame1.png, frame2.png ... (not padded with zeros: only natural order is right)."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        cv2.imwrite(str(folder / f"frame{index + 1}{suffix}"), coded_frame(index, size))
    return folder
