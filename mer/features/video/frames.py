"""The pictures of a clip: evenly spaced frames, cropped to faces if the configuration asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mer.config import VideoEncoderConfig
from mer.data.media.files import require_content
from mer.data.media.video import read_frames
from mer.features.video.faces import FaceCropper


@dataclass(frozen=True, eq=False)
class Pictures:
    """RGB uint8, one per frame: (T, H, W, 3), or T crops (H, W, 3) of differing sizes."""

    images: np.ndarray | Sequence[np.ndarray]
    notes: tuple[str, ...]


class FrameReader:
    """Reads pictures for all video encoders. Safe for several threads.

    Args:
        count: frames per clip.
        size: (width, height) to scale to; None keeps each clip's own size, and that of crops.
    Raises: MerError when the face detector cannot be opened.
    """

    def __init__(self, config: VideoEncoderConfig, count: int, size: tuple[int, int] | None = None) -> None:
        self.count, self.size, self.max_seconds = count, size, config.max_seconds
        self.faces = FaceCropper(config.face_detector) if config.face_detector else None

    def probe(self, path: Path) -> int:
        """Return 1, since clips of any length cost the same. Raises: MediaFault for an empty file."""
        if not path.is_dir():  # a folder of images is a clip too
            require_content(path)
        return 1

    def read(self, path: Path) -> Pictures:
        """Read the pictures of a clip. Raises: MediaFault when it cannot be decoded."""
        if self.faces is None:
            frames = read_frames(path, self.count, max_seconds=self.max_seconds, size=self.size)
            return Pictures(frames.images, frames.notes)
        frames = read_frames(path, self.count, max_seconds=self.max_seconds)
        crops, notes = self.faces.crop(frames.images)
        if self.size is None:
            return Pictures(crops, (*frames.notes, *notes))
        import cv2

        scaled = np.stack([cv2.resize(crop, self.size, interpolation=cv2.INTER_AREA) for crop in crops])
        return Pictures(scaled, (*frames.notes, *notes))
