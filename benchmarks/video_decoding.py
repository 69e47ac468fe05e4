"""Time the reading of 16 evenly spaced frames of a clip: OpenCV as in mer.data.media.video, PyAV, torchcodec if there.

    python -m benchmarks.video_decoding [--clips 20]

Writes H.264 clips of 3 s with frames numbered by stripes, at 224x224 and 1280x720; every reader returns RGB frames in
their own size, and the numbers in them are checked. "import" is that of the library and "first" the first call behind
it, in a fresh process (median of three); "mean" is over the clips, in a warm process, the readers taking turns on each
clip. Ratios are to OpenCV. Beside them stand the figures that the reference project reports for its own clips.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from statistics import mean, median

import numpy as np

FRAMES, COUNT, FPS, BITS = 75, 16, 25, 7
SIZES = ((224, 224), (1280, 720))
WANTED = [(2 * i + 1) * FRAMES // (2 * COUNT) for i in range(COUNT)]
# What the reference project reports for the same pair, seconds: first call, mean. Its clips and machine are not ours.
REPORTED_S = {"OpenCV": (0.11, 0.08), "PyAV": (0.22, 0.17)}


def with_opencv(path: Path) -> np.ndarray:
    from mer.data.media.video import read_frames

    return read_frames(path, COUNT, max_seconds=60).images


def with_pyav(path: Path) -> np.ndarray:
    """Decode in order on one thread, convert the wanted frames."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        wanted = set(WANTED)
        frames = (f for i, f in enumerate(container.decode(stream)) if i in wanted)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


def with_torchcodec(path: Path) -> np.ndarray:
    decoders = importlib.import_module("torchcodec.decoders")
    decoder = decoders.VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
    return decoder.get_frames_at(indices=WANTED).data.numpy()


READERS: dict[str, Callable[[Path], np.ndarray]] = {
    "OpenCV": with_opencv,
    "PyAV": with_pyav,
    "torchcodec": with_torchcodec,
}

FIRST = """
import importlib, sys, time
from pathlib import Path
import mer.data.media.video  # ours is not part of the comparison
from benchmarks.video_decoding import READERS
module = {"OpenCV": "cv2", "PyAV": "av", "torchcodec": "torchcodec.decoders"}[sys.argv[1]]
started = time.perf_counter()
importlib.import_module(module)
imported = time.perf_counter()
READERS[sys.argv[1]](Path(sys.argv[2]))
print(imported - started, time.perf_counter() - imported)
"""


def write_clip(path: Path, size: tuple[int, int], seed: int) -> None:
    """Moving, slightly noisy pictures, so that decoding is work; the frame's number in stripes along the bottom."""
    import av

    width, height = size
    random = np.random.default_rng(seed)
    texture = random.integers(0, 255, (height // 8, width // 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"threads": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(FRAMES):
            image = np.roll(texture, (2 * index, 3 * index), axis=(0, 1))
            bits = (index >> (np.arange(width) * BITS // width)) & 1
            image[height // 2 :] = (bits * 255).astype(np.uint8)[None, :, None]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def numbers(images: np.ndarray) -> list[int]:
    height, width = images.shape[1:3]
    centres = (np.arange(BITS) * 2 + 1) * width // (2 * BITS)
    bits = images[:, height * 3 // 4, centres].mean(axis=2) > 127
    return [int(number) for number in (bits << np.arange(BITS)).sum(axis=1)]


def usable_readers(clip: Path) -> list[str]:
    """List the readers that import and give the right frames; print the others with the reason."""
    usable = []
    for name, read in READERS.items():
        try:
            found = numbers(read(clip))
        except (ImportError, OSError, RuntimeError) as fault:
            print(f"{name}: left out: {type(fault).__name__}: {str(fault).splitlines()[0][:80]}")
            continue
        assert found == WANTED, f"{name} returned frames {found}, not {WANTED}"
        usable.append(name)
    return usable


def first_call(name: str, clip: Path) -> tuple[float, float]:
    """Measure seconds of the import and of the first call, medians of three fresh processes."""
    command = [sys.executable, "-c", FIRST, name, str(clip)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(3)]
    return median(float(run[0]) for run in runs), median(float(run[1]) for run in runs)


def mean_call(names: list[str], clips: list[Path]) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for clip in clips:
        for name in names:
            started = time.perf_counter()
            READERS[name](clip)
            seconds[name].append(time.perf_counter() - started)
    return {name: mean(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20, help="clips per size (default 20)")
    count = parser.parse_args().clips
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for size in SIZES:
            clips = [Path(folder) / f"{size[0]}-{seed}.mp4" for seed in range(count)]
            for seed, clip in enumerate(clips):
                write_clip(clip, size, seed)
            names = usable_readers(clips[0])
            first = {name: first_call(name, clips[0]) for name in names}
            means = mean_call(names, clips)
            rows += [(size, name, *first[name], means[name], first, means) for name in names]
        print(f"{COUNT} of {FRAMES} H.264 frames, one thread, milliseconds; {count} clips per size")
        print(f"{'size':9}  {'reader':10}  {'import':>6}  {'first':>6}  {'ratio':>5}  {'mean':>6}  {'ratio':>5}")
        for (width, height), name, imported, call, average, first, means in rows:
            ratios = call / first["OpenCV"][1], average / means["OpenCV"]
            print(
                f"{f'{width}x{height}':9}  {name:10}  {imported * 1e3:6.0f}  {call * 1e3:6.1f}  {ratios[0]:5.2f}  "
                f"{average * 1e3:6.1f}  {ratios[1]:5.2f}"
            )
        for name, (first_s, mean_s) in REPORTED_S.items():
            ratios = first_s / REPORTED_S["OpenCV"][0], mean_s / REPORTED_S["OpenCV"][1]
            print(
                f"{'reported':9}  {name:10}  {'':6}  {first_s * 1e3:6.0f}  {ratios[0]:5.2f}  "
                f"{mean_s * 1e3:6.0f}  {ratios[1]:5.2f}"
            )


if __name__ == "__main__":
    main()
