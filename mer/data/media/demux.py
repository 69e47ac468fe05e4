"""Containers (mp4, mkv, mov, webm, avi, flv, m4a ...), opened by PyAV: durations by the header, FLAC writing.

PyAV brings its own FFmpeg, so no program has to be installed; a clip takes 26 ms, with a process 65 ms.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mer.data.media.faults import MediaAbsent, MediaFault
from mer.data.media.files import require_content
from mer.files import atomic_path

SAMPLE_RATE_HZ = 16000
MOST_PIXELS = 2**25  # of a picture: 8K has 33 million, and takes 100 MB


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """Open an `av` container for reading. FFmpeg's exceptions inside the `with` become MediaFault too.

    Raises: MediaAbsent, MediaFault.
    """
    import av

    require_content(path)
    try:
        # absolute, since FFmpeg takes a relative "a:b" for a protocol; metadata may have any encoding
        with av.open(str(path.absolute()), metadata_errors="replace") as container:
            yield container
    except FileNotFoundError as fault:
        raise MediaAbsent("no such file") from fault
    except (av.error.FFmpegError, OSError) as fault:
        raise MediaFault(f"cannot be decoded: {fault.strerror}") from fault


def video_duration_s(path: Path) -> float:
    """Read the length of the longest track from the header, in seconds; 0.0 if it has none.

    Raises: MediaAbsent; MediaFault if it cannot be opened, has no pictures, or nothing decodes them.
    """
    with open_container(path) as container:
        pictures_of(container)
        return float(container.duration or 0) / 1_000_000


def pictures_of(container: Any) -> Any:
    """Return the stream of pictures. Raises: MediaFault "no video track", "no decoder for its pictures"."""
    if not container.streams.video:
        raise MediaFault("no video track")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise MediaFault("no decoder for its pictures")
    refuse_large(stream.codec_context.width, stream.codec_context.height)
    return stream


def refuse_large(width: float, height: float) -> None:
    """Refuse pictures that no camera makes. Raises: MediaFault."""
    if width * height > MOST_PIXELS:
        raise MediaFault(f"pictures of {width:.0f}x{height:.0f} pixels, at most {MOST_PIXELS:,} are read")


def write_flac(path: Path, samples_int16: np.ndarray, *, mode: int = 0o666) -> None:
    """Write int16 (S,) as a 16 kHz mono 16-bit FLAC file, whole or not at all.

    Args: mode: permissions, less the umask.
    Raises: OSError naming `path`.
    """
    import soundfile

    encoded = io.BytesIO()  # libsndfile does not say why the system refuses to write
    soundfile.write(encoded, samples_int16, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    with atomic_path(path, mode=mode) as temporary:
        temporary.write_bytes(encoded.getbuffer())
