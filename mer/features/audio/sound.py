"""The samples of a file, for all audio encoders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mer.data.media.audio import read_audio
from mer.data.media.faults import MediaFault

LOUDEST = 1e6  # full scale is 1, or 32768 where a file holds whole numbers as floats; far above, float32 overflows


def hear(path: Path, *, max_seconds: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read samples, float32 (S,) mono at 16 kHz, and notes. Callers pad a clip that is shorter than one frame.

    Raises: MediaFault when the clip cannot be used.
    """
    audio = read_audio(path, max_seconds=max_seconds)
    peak = float(np.abs(audio.samples).max())
    if peak > LOUDEST:
        raise MediaFault(f"samples up to {peak:.0e}: not a recording")
    return audio.samples, audio.notes
