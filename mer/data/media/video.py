"""Any video, or a folder of images, as a fixed number of evenly spaced RGB frames.

OpenCV is used because grabbing every frame and converting only the wanted ones takes about two thirds of PyAV's time at
224x224, and the same time at 1280x720 (`python -m benchmarks.video_decoding`). Seeking to each frame takes four to ten
times as long. Where OpenCV has no decoder (AV1), PyAV decodes (`av_capture`).

Choice of frames: the clip is cut into `count` equal bins, and the frame at each bin's centre is taken. Bins are counted
in frames, floor((i + 0.5) * n / count), since frame numbers are exact. If the frame rate varies (phones, screen
recordings: some frame lies more than 1.5 mean frame lengths from where a constant rate would put it), equal numbers of
frames are not equal times; bins are counted in seconds then, and the frame shown at each centre is taken.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from mer.data.media.demux import MOST_PIXELS, refuse_large
from mer.data.media.faults import MediaAbsent, MediaFault
from mer.data.media.files import require_content, require_file

Opener = Callable[[Path], contextlib.AbstractContextManager[Any]]
MOST_PIXELS_KEPT = 2**28  # of a clip, 0.8 GB; 32 frames of 4K are just below. Beyond it frames are scaled down
MOST_FRAMES_PER_S = 1000
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True, eq=False)
class Frames:
    """Evenly spaced pictures of a clip.

    Args:
        images: uint8 (T, H, W, 3), RGB, upright; T is always the number asked for (a short clip repeats frames).
        duration_s: length of the whole clip in seconds, before the cut; 0.0 for a folder of images, which has none.
        notes: what had to be mended, in words; () if nothing.
    """

    images: np.ndarray
    duration_s: float
    notes: tuple[str, ...] = ()


def read_frames(path: Path, count: int, *, max_seconds: float, size: tuple[int, int] | None = None) -> Frames:
    """Read `count` frames of the first `max_seconds` of a video, rotated as the file asks.

    The number of frames in a header may be wrong (a cut without re-encoding, a truncated file). If decoding shows that,
    frames are chosen again from the real ones and read in a second pass.

    Args:
        path: a video, or a folder of jpg/png images in natural name order (img2 before img10), which is never cut.
        size: (width, height) to which each kept frame is scaled, by area; None keeps the clip's own.
    Raises: MediaAbsent; MediaFault "0 bytes", "no video track", "no frames", or why it cannot be decoded.
    """
    if path.is_dir():
        return _read_folder(path, count, size)
    require_content(path)
    opened: Opener = _opened
    try:
        clip, kept, times, more = _first_pass(opened, path, count, max_seconds, size)
    except _NoDecoder:
        times = []
    if not times:
        opened = _opened_by_av
        clip, kept, times, more = _first_pass(opened, path, count, max_seconds, size)
    if not times:
        raise MediaFault("no frames")
    length_s = max_seconds if more else times[-1] + _median_step(times, clip.fps)
    chosen = _choose(np.asarray(times), length_s, count)
    if missing := set(chosen) - kept.keys():
        with opened(path) as capture:
            room = MOST_PIXELS_KEPT // count
            kept |= _decode(capture, missing, clip.fps, max_seconds, size, last=max(missing), room=room)[0]
    if not kept.keys() >= set(chosen):
        raise MediaFault("cannot be decoded: other frames when read again")

    claimed_s, notes = clip.frames / clip.fps, []
    if more:
        length_s = max(claimed_s, max_seconds)
        notes.append(f"{length_s:.1f} s long: cut to its first {max_seconds:g} s")
    elif claimed_s - length_s > max(
        2 / clip.fps, 0.05 * claimed_s
    ):  # tolerance: mkv and avi count the end of the sound too
        notes.append(f"ends early: {len(times)} of {clip.frames} frames")
    return Frames(_stack([kept[index] for index in chosen]), length_s, tuple(notes))


def bin_centres(total: int, count: int) -> list[int]:
    """Compute the index at the centre of each of `count` equal bins of `total`: floor((i + 0.5) * total / count)."""
    return [(2 * i + 1) * total // (2 * count) for i in range(count)] if total > 0 else []


@lru_cache(maxsize=1)
def _cv2() -> Any:
    """Import OpenCV, silent and without threads of its own: clips are read in parallel, one thread each."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read at the first capture; our faults say what is wrong
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))  # read at the import
    import cv2

    level = cv2.utils.logging.LOG_LEVEL_ERROR
    if cv2.utils.logging.getLogLevel() > level:
        cv2.utils.logging.setLogLevel(level)
    cv2.setNumThreads(1)
    return cv2


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open OpenCV's capture of the video. Raises: _NoDecoder if it cannot."""
    cv2 = _cv2()
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    try:
        if not capture.isOpened():
            raise _NoDecoder("cannot be decoded")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # not accepted among the settings above
        yield capture
    except cv2.error as fault:
        raise MediaFault(f"cannot be decoded: {fault.err}") from fault
    finally:
        capture.release()


def _opened_by_av(path: Path) -> contextlib.AbstractContextManager[Any]:
    """Open PyAV's capture of the video. Raises: MediaFault."""
    from mer.data.media.av_capture import open_by_av

    cv2 = _cv2()
    return open_by_av(path, (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS, cv2.CAP_PROP_POS_MSEC))


class _NoDecoder(MediaFault):
    """OpenCV cannot open the file."""


@dataclass(frozen=True)
class _Header:
    """Frames and rate by the header, which may be wrong. `frames` is 0 if it has no usable number."""

    frames: int
    fps: float


def _header(capture: Any) -> _Header:
    cv2 = _cv2()
    frames, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    refuse_large(capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    usable = 0 < frames < 1e9 and 0 < fps <= MOST_FRAMES_PER_S
    return _Header(int(frames) if usable else 0, fps if 0 < fps <= MOST_FRAMES_PER_S else 25.0)


def _first_pass(
    opened: Opener,
    path: Path,
    count: int,
    max_seconds: float,
    size: tuple[int, int] | None,
) -> tuple[_Header, dict[int, np.ndarray], list[float], bool]:
    """Decode the whole clip once: its header, and what `_decode` returns for the frames that the header promises."""
    with opened(path) as capture:
        clip = _header(capture)
        planned = bin_centres(min(clip.frames, ceil(max_seconds * clip.fps)), count)
        return clip, *_decode(capture, set(planned), clip.fps, max_seconds, size, room=MOST_PIXELS_KEPT // count)


def _decode(
    capture: Any,
    wanted: set[int],
    fps: float,
    max_seconds: float,
    size: tuple[int, int] | None,
    *,
    room: int,
    last: int | None = None,
) -> tuple[dict[int, np.ndarray], list[float], bool]:
    """Grab every frame up to `max_seconds` (or `last`) and keep the wanted ones.

    Args: room: most pixels of a frame that is kept in its own size.
    Returns: the kept frames by index; the time of each frame in seconds after the first, ascending; whether the clip
        is longer than `max_seconds`.
    """
    cv2 = _cv2()
    kept: dict[int, np.ndarray] = {}
    times: list[float] = []
    start_s: float | None = None
    while (last is None or len(times) <= last) and capture.grab():
        shown_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        start_s = shown_s if start_s is None else start_s
        time_s = shown_s - start_s if times else 0.0
        if times and not time_s > times[-1]:  # timestamp missing or running backwards: use the frame rate
            time_s = times[-1] + 1 / fps
        if time_s > max_seconds - 1e-6 or len(times) > MOST_FRAMES_PER_S * max_seconds:
            return kept, times, True
        if len(times) in wanted:
            decoded, image = capture.retrieve()
            if not decoded:
                raise MediaFault(f"cannot be decoded: frame {len(times)}")
            kept[len(times)] = _prepare(image, size, room)
        times.append(time_s)
    return kept, times, False


def _prepare(image: np.ndarray, size: tuple[int, int] | None, room: int) -> np.ndarray:
    """Convert BGR (H, W, 3) to RGB, scaled to `size` if given, else to no more than `room` pixels."""
    cv2 = _cv2()
    return cv2.cvtColor(_scaled(image, size or _fitting(image, room)), cv2.COLOR_BGR2RGB)


def _fitting(image: np.ndarray, room: int) -> tuple[int, int]:
    """Return the (width, height) of a picture, or of a smaller one of that shape that has at most `room` pixels."""
    height, width = image.shape[:2]
    refuse_large(width, height)
    scale = min(1.0, (room / (width * height)) ** 0.5)
    return max(1, int(width * scale)), max(1, int(height * scale))


def _scaled(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    cv2 = _cv2()
    return image if image.shape[1::-1] == size else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _median_step(times: Sequence[float], fps: float) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 1 / fps


def _choose(times: np.ndarray, length_s: float, count: int) -> list[int]:
    """Choose frames by the times (s) at which they are shown; the rule is at the head of this file."""
    mean_s = length_s / len(times)
    if np.abs(times - np.arange(len(times)) * mean_s).max() <= 1.5 * mean_s:
        return bin_centres(len(times), count)
    centres = (np.arange(count) + 0.5) * length_s / count
    return [int(index) for index in np.searchsorted(times, centres, side="right") - 1]


def _stack(images: list[np.ndarray]) -> np.ndarray:
    """Stack to (T, H, W, 3); pictures of another size than the first (face crops) are scaled to it."""
    height, width = images[0].shape[:2]
    return np.stack([_scaled(image, (width, height)) for image in images])


def _read_folder(folder: Path, count: int, size: tuple[int, int] | None) -> Frames:
    try:
        files = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    except OSError as fault:
        raise MediaFault(f"cannot be opened: {fault.strerror}") from fault
    if not files:
        raise MediaFault("a folder without jpg or png images")
    files.sort(key=lambda path: _natural(path.name))
    chosen = bin_centres(len(files), count)
    room = MOST_PIXELS_KEPT // count
    images = {index: _prepare(_read_image(files[index]), size, room) for index in set(chosen)}
    return Frames(_stack([images[index] for index in chosen]), 0.0)


def _natural(name: str) -> tuple[list[str | int], str]:
    """Make a sort key with img2 before img10; text and numbers alternate, so they are never compared."""
    return [int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", name)], name


def _read_image(path: Path) -> np.ndarray:
    """Read one image as BGR (H, W, 3). Raises: MediaFault naming the image."""
    cv2 = _cv2()
    try:
        require_file(path)
        data = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except MediaAbsent as fault:
        raise MediaAbsent(f"no such file: {path.name}") from fault
    except MediaFault as fault:
        raise MediaFault(f"{path.name}: {fault}") from fault
    except (OSError, cv2.error) as fault:
        raise MediaFault(f"{path.name} cannot be read") from fault
    if image is None:
        raise MediaFault(f"{path.name} is not an image" if len(data) else f"{path.name} has 0 bytes")
    if image.shape[0] * image.shape[1] > MOST_PIXELS:  # where something imported OpenCV before us, without the bound
        raise MediaFault(f"{path.name} has more than {MOST_PIXELS:,} pixels")
    return image
