"""Pictures by PyAV where OpenCV has no decoder (AV1), behind the few methods of `cv2.VideoCapture` that are used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mer.data.media.demux import open_container, pictures_of


class AvCapture:
    """Grabs the frames of an open container one after the other, upright, in one thread.

    Args: properties: OpenCV's numbers of the properties `get` answers: frame count, frame rate, time in milliseconds.
    """

    def __init__(self, container: Any, stream: Any, properties: tuple[int, int, int]) -> None:
        stream.codec_context.thread_count = 1
        self._frames = container.decode(stream)
        self._frame: Any = None
        rate = stream.average_rate or stream.guessed_rate
        self._known: dict[int, float] = {properties[0]: float(stream.frames), properties[1]: float(rate or 0)}
        if not stream.frames and stream.duration and rate:
            self._known[properties[0]] = float(round(stream.duration * stream.time_base * rate))
        self._time = properties[2]

    def get(self, number: int) -> float:
        """Return a property; 0.0 where the file does not say it."""
        if number == self._time:
            return 1000 * float(self._frame.time or 0.0)
        return self._known.get(number, 0.0)

    def grab(self) -> bool:
        """Decode the next frame; False at the end, and where the file breaks off."""
        import av

        try:
            self._frame = next(self._frames, None)
        except av.error.FFmpegError:
            self._frame = None
        return self._frame is not None

    def retrieve(self) -> tuple[bool, np.ndarray]:
        """Return the frame as BGR uint8 (H, W, 3)."""
        image = self._frame.to_ndarray(format="bgr24")
        return True, np.ascontiguousarray(np.rot90(image, round(self._frame.rotation / 90) % 4))


@contextlib.contextmanager
def open_by_av(path: Path, properties: tuple[int, int, int]) -> Iterator[AvCapture]:
    """Open a video's pictures. Raises: MediaFault "no video track", "no decoder for its pictures" ..."""
    with open_container(path) as container:
        yield AvCapture(container, pictures_of(container), properties)
