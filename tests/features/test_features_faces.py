from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from video_backbones import StandInDetector, write_frames

from mer.config import VideoEncoderConfig
from mer.errors import MerError
from mer.features import video
from mer.features.video.faces import FaceCropper, square
from mer.features.video.framestats import NAMES, FrameStats
from mer.files import sha256_file


def cropper(find) -> tuple[FaceCropper, list[StandInDetector]]:
    made: list[StandInDetector] = []

    def create() -> StandInDetector:
        made.append(StandInDetector(find))
        return made[-1]

    return FaceCropper("unused", create=create), made


def bright_box(image: np.ndarray) -> list[tuple[float, float, float, float]]:
    """The bounding box of what is bright in the picture's first (blue) channel."""
    rows, columns = np.nonzero(image[..., 0] > 200)
    if not len(rows):
        return []
    return [(columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)]


def picture(*, left: int, top: int, side: int, size: tuple[int, int] = (100, 80)) -> np.ndarray:
    """RGB: a blue square on black."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[top : top + side, left : left + side, 2] = 255
    return image


def test_a_square_with_a_margin_inside_the_picture() -> None:
    assert square((40, 30, 20, 20), 100, 80) == (35, 25, 30)  # a quarter of the side on each side
    assert square((40, 30, 10, 20), 100, 80) == (30, 25, 30)  # of the longer side, around the middle
    assert square((0, 0, 20, 20), 100, 80) == (0, 0, 30)
    assert square((-10, -10, 20, 20), 100, 80) == (0, 0, 30)
    assert square((90, 70, 20, 20), 100, 80) == (70, 50, 30)
    assert square((0, 0, 100, 90), 100, 80) == (10, 0, 80)  # as large as the picture allows


def test_the_largest_face_of_each_frame() -> None:
    faces, _ = cropper(lambda image: [(5, 5, 10, 10), (50, 40, 20, 20), (80, 60, 8, 30)])
    image = np.arange(100 * 80 * 3, dtype=np.uint32).astype(np.uint8).reshape(80, 100, 3)
    crops, notes = faces.crop([image])
    np.testing.assert_array_equal(crops[0], image[35:65, 45:75])
    assert notes == ()


def test_frames_follow_their_face_and_the_picture_is_given_as_bgr() -> None:
    faces, made = cropper(bright_box)
    images = [picture(left=10, top=20, side=20), picture(left=50, top=30, side=10)]
    crops, _ = faces.crop(images)
    assert [crop.shape for crop in crops] == [(30, 30, 3), (15, 15, 3)]
    assert all((crop[..., 2] > 0).sum() == side**2 for crop, side in zip(crops, (20, 10), strict=True))
    assert made[0].seen[0][..., 0].any() and not made[0].seen[0][..., 2].any()


def test_a_frame_without_a_face_takes_the_nearest_box() -> None:
    faces, _ = cropper(bright_box)
    black = np.zeros((80, 100, 3), np.uint8)
    seen = [black, picture(left=10, top=20, side=20), black, black, picture(left=50, top=30, side=10), black]
    crops, notes = faces.crop(seen)
    assert [len(crop) for crop in crops] == [30, 30, 30, 15, 15, 15] and notes == ()
    tie = [seen[1], black, seen[4]]
    assert [len(crop) for crop in faces.crop(tie)[0]] == [30, 30, 15]


def test_without_any_face_the_whole_frames_with_a_note() -> None:
    faces, _ = cropper(lambda image: [])
    images = [picture(left=1, top=1, side=3)] * 2
    crops, notes = faces.crop(images)
    np.testing.assert_array_equal(crops, images)
    assert notes == ("no face found: whole frames used",)
    broken, _ = cropper(lambda image: [(float("nan"), 0, 5, 5)])
    assert broken.crop(images)[1] == notes


def test_large_pictures_are_searched_small_and_cut_at_their_own_size() -> None:
    faces, made = cropper(bright_box)
    crops, _ = faces.crop([picture(left=400, top=200, side=200, size=(1280, 720))])
    assert made[0].seen[0].shape == (360, 640, 3)
    assert crops[0].shape == (300, 300, 3) and (crops[0][..., 2] > 0).sum() == 200**2


def test_each_thread_has_its_own_detector() -> None:
    faces, made = cropper(bright_box)
    barrier = threading.Barrier(4, timeout=20)

    def crop(_: int) -> int:
        barrier.wait()
        return len(faces.crop([picture(left=10, top=20, side=20)])[0][0])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(crop, range(4))) == [30] * 4
    assert len(made) == 5  # one when it was opened, so that faults come early


def test_framestats_of_faces(tmp_path: Path) -> None:
    encoder = FrameStats(VideoEncoderConfig(frames=4))
    folder = write_frames(tmp_path / "clip", np.stack([picture(left=10 * i, top=20, side=20) for i in range(1, 5)]))
    wandering = encoder.load(folder).inputs
    encoder.reader.faces, _ = cropper(bright_box)
    held = encoder.load(folder).inputs
    assert held.shape == wandering.shape and wandering[NAMES.index("flow_sd_right") - 1 :].any()
    np.testing.assert_array_equal(held[NAMES.index("change_mean_r0c0") :], 0)  # the face stands still in its crop
    encoder.reader.faces, _ = cropper(lambda image: [])
    clip = encoder.load(folder)
    assert clip.notes == ("no face found: whole frames used",)
    np.testing.assert_array_equal(clip.inputs, wandering)


def test_a_model_file_that_is_none(tmp_path: Path) -> None:
    model = tmp_path / "yunet.onnx"
    config = VideoEncoderConfig(face_detector=str(model))
    model.touch()
    with pytest.raises(MerError, match="0 bytes"):
        video.describe(config, None)
    model.write_bytes(b"this is no network")
    words = video.preprocessing_words(config, None)
    assert words["face_detector_sha256"] == sha256_file(model)
    with pytest.raises(MerError, match="cannot open it as a face detector") as caught:
        video.open_encoder(config, None)
    assert str(model) in caught.value.message
