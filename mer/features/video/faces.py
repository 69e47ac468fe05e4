"""Crop every frame to its largest face, with a YuNet model file that the user brings.

Wide shots show several people and little of any face, so a backbone sees more in a crop. The speaker's face is not
known; the largest one is a guess.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mer.errors import MerError
from mer.places import home

MARGIN = 0.25  # of the face's longer side, added on each side: hair and chin belong to an expression
LONGEST_SIDE = 640  # pixels a frame is scaled down to for the search
Box = tuple[float, float, float, float]  # left, top, width, height


class Detector(Protocol):
    """The part of cv2.FaceDetectorYN that is used. It remembers a size, so each thread needs its own."""

    def setInputSize(self, size: tuple[int, int]) -> None: ...

    def detect(self, image: np.ndarray) -> tuple[Any, np.ndarray | None]:
        """Find faces in a BGR picture: (_, float (faces, 15): left, top, width, height, ...), or (_, None)."""
        ...


def model_file(named: str | Path) -> Path:
    """Check a face detector's model file, and return its path. Raises: MerError when it is not there."""
    path = home(named)
    if not path.is_file() or path.stat().st_size == 0:
        found = "not a file" if path.is_dir() else "0 bytes" if path.is_file() else "no such file"
        raise MerError(
            path,
            f"{found} (encoders.video.face_detector)",
            allowed="a YuNet model, e.g. face_detection_yunet_2023mar.onnx",
            then="fetch it from OpenCV's model zoo, or set encoders.video.face_detector: null",
        )
    return path


class FaceCropper:
    """Crops each frame to its largest face: a square with a margin, inside the picture.

    Args:
        model: YuNet model file (.onnx).
        create: makes a detector; each thread that crops gets its own. None: OpenCV's, from `model`.
    Raises: MerError when the model is not there or cannot be opened, before any clip is read.
    """

    def __init__(self, model: str | Path, *, create: Callable[[], Detector] | None = None) -> None:
        self._create = create or _yunet(model_file(model))
        self._own = threading.local()
        self._own.detector = self._create()

    def crop(self, images: np.ndarray | Sequence[np.ndarray]) -> tuple[list[np.ndarray], tuple[str, ...]]:
        """Crop every frame; one without a face takes the box of the nearest frame that has one (the earlier of two).

        Args: images: RGB uint8 (H, W, 3), all of one size.
        Returns: one picture per frame, of differing sizes, and notes; the whole frames when no frame has a face.
        """
        boxes = [self._largest(image) for image in images]
        seen = [index for index, box in enumerate(boxes) if box is not None]
        if not seen:
            return list(images), ("no face found: whole frames used",)
        crops = []
        for index, image in enumerate(images):
            box = boxes[min(seen, key=lambda other: abs(other - index))]
            assert box is not None
            left, top, side = square(box, image.shape[1], image.shape[0])
            crops.append(image[top : top + side, left : left + side])
        return crops, ()

    def _largest(self, image: np.ndarray) -> Box | None:
        import cv2

        detector = getattr(self._own, "detector", None)
        if detector is None:
            detector = self._own.detector = self._create()
        height, width = image.shape[:2]
        scale = min(1.0, LONGEST_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        searched = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if scale < 1:
            searched = cv2.resize(searched, size, interpolation=cv2.INTER_AREA)
        detector.setInputSize(size)
        faces = detector.detect(searched)[1]
        faces = [face[:4] for face in ([] if faces is None else faces) if np.isfinite(face[:4]).all()]
        if not faces:
            return None
        left, top, wide, high = (float(number) / scale for number in max(faces, key=lambda face: face[2] * face[3]))
        return left, top, wide, high


def square(box: Box, width: int, height: int) -> tuple[int, int, int]:
    """Turn a box into a square (left, top, side) in whole pixels, with a margin, moved or shrunk into the picture.

    It is a square because a backbone's centre crop would cut forehead and chin off an upright box.
    """
    left, top, wide, high = box
    side = min(max(1, round(max(wide, high) * (1 + 2 * MARGIN))), width, height)
    corners = (round(left + wide / 2 - side / 2), round(top + high / 2 - side / 2))
    return min(max(corners[0], 0), width - side), min(max(corners[1], 0), height - side), side


def _yunet(model: Path) -> Callable[[], Detector]:
    import cv2

    def create() -> Detector:
        try:
            return cv2.FaceDetectorYN.create(str(model), "", (320, 320))
        except cv2.error as fault:
            raise MerError(
                model,
                f"OpenCV cannot open it as a face detector: {' '.join(str(fault.err).split())[:200]}",
                allowed="a YuNet model (.onnx)",
                then="fetch it again, or set encoders.video.face_detector: null",
            ) from fault

    return create
