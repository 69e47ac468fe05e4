"""The clips of the generated corpus as files: FLAC for the voice, mp4 for face and voice together.

On one machine with one set of libraries a clip gives the same bytes, however many processes write. Elsewhere the last
bit of a sine may differ, and another FFmpeg or OpenCV may compress or draw differently: voices and pictures then differ
in a few samples or pixels, and files may differ as a whole.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

import av
import cv2
import numpy as np
import soundfile

from mer.data.sample.face import FPS, HEIGHT, WIDTH, frames
from mer.data.sample.plan import PlannedUtterance
from mer.data.sample.voice import RATE_HZ, voice

SOUND_BITS_PER_S = 16_000
PICTURE_QUALITY = 10  # quantiser of mpeg4, 2 (best) to 31
_BLOCK = 1024  # samples per AAC frame


@dataclass(frozen=True, slots=True)
class SampleClip:
    """Files to write for one clip.

    Attributes:
        turns: utterances that it says and shows, one after the other.
        sound, video: paths to write; a raw clip has no sound file.
        spoilt: bytes to write instead of a video, as archives hold broken files.
    """

    turns: tuple[PlannedUtterance, ...]
    sound: Path | None = None
    video: Path | None = None
    spoilt: bytes | None = None


def write_clips(clips: Sequence[SampleClip], seed: int, workers: int, progress: Callable[[int, int], None]) -> None:
    """Write all files; their folders are made. `workers`: processes; 1 is this process.

    Processes, not threads: most of the work is many small calls from Python.
    """
    for folder in {path.parent for clip in clips for path in (clip.sound, clip.video) if path is not None}:
        folder.mkdir(parents=True, exist_ok=True)
    if workers == 1:
        for done, clip in enumerate(clips, start=1):
            _write(clip, seed)
            progress(done, len(clips))
        return
    # spawn: a process forked from one with threads (OpenCV, torch) may hang
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_leave_interrupts_to_the_parent)
    try:
        running = [pool.submit(_write, clip, seed) for clip in clips]
        for done, future in enumerate(as_completed(running), start=1):
            future.result()
            progress(done, len(clips))
    finally:
        pool.shutdown(cancel_futures=True)  # after a full disk or Ctrl-C: finish the clips at work, start no others


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write(clip: SampleClip, seed: int) -> None:
    if clip.spoilt is not None:
        assert clip.video is not None
        clip.video.write_bytes(clip.spoilt)
        return
    samples = np.concatenate([voice(turn, seed) for turn in clip.turns])
    if clip.sound is not None:
        with clip.sound.open("wb") as stream:  # our own stream: its OSError names the file
            soundfile.write(stream, samples, RATE_HZ, format="FLAC", subtype="PCM_16")
    if clip.video is not None:
        _write_video(clip.video, (picture for turn in clip.turns for picture in frames(turn, seed)), samples)


def _write_video(path: Path, pictures: Iterator[np.ndarray], samples: np.ndarray) -> None:
    """Write both tracks, with mpeg4 in one thread, which gives the same bytes every time; x264 does not."""
    with av.open(str(path), "w", format="mp4") as container:
        picture = container.add_stream("mpeg4", rate=FPS, options={"flags": "+qscale", "bf": "0"})
        picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        picture.codec_context.thread_count, picture.codec_context.gop_size = 1, 10 * FPS
        picture.codec_context.qmin = picture.codec_context.qmax = PICTURE_QUALITY
        sound = container.add_stream("aac", rate=RATE_HZ, layout="mono", options={"aac_coder": "fast"})
        sound.bit_rate = SOUND_BITS_PER_S
        for number, image in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        loudness = samples.astype(np.float32)[None] / 32768
        for start in range(0, len(samples), _BLOCK):
            block = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(loudness[:, start : start + _BLOCK]), "fltp", "mono"
            )
            block.sample_rate, block.pts, block.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))
