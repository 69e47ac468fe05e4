from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from video_backbones import moving_square, write_frames

from mer.config import VideoEncoderConfig
from mer.data.media import MediaAbsent, MediaFault
from mer.errors import MerError
from mer.features import video
from mer.features.backbone.clip_encoder import LoadedClip
from mer.features.video.framestats import FRAMES, NAMES, FrameStats, statistics

SIZE = (96, 72)


def named(images: np.ndarray, beginning: str) -> np.ndarray:
    """The statistics whose name begins so, in order."""
    values = statistics(images)
    found = [value for name, value in zip(NAMES, values, strict=True) if name.startswith(beginning)]
    assert found, beginning
    return np.array(found)


def still(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[None], FRAMES, axis=0)


def test_every_number_has_a_name() -> None:
    assert len(NAMES) == len(set(NAMES)) == 417
    values = statistics(moving_square(FRAMES, size=SIZE))
    assert values.shape == (417,) and values.dtype == np.float32


def test_a_still_clip_does_not_move() -> None:
    clip = still(moving_square(1, size=SIZE)[0])
    for beginning in ("change", "flow", "sideways"):
        assert not named(clip, beginning).any()
    assert named(clip, "gradient_sd").max() < 1e-6  # a mean of equal numbers is not always that number
    assert np.abs(named(clip, "gradient_r")).sum() > 1


def test_brightness_and_colour_are_where_they_are() -> None:
    picture = np.zeros((72, 96, 3), np.uint8)
    picture[:36, :48] = 255
    cells = named(still(picture), "brightness").reshape(4, 4)
    np.testing.assert_array_equal(cells, [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    quarter = np.array([1, 0, 0, 0]) @ [255, 0, 0, 0] / 255 / 4
    np.testing.assert_allclose(named(still(picture), "lab_mean_l"), quarter, atol=1e-6)
    np.testing.assert_allclose(named(still(picture), "lab_sd_l"), np.sqrt(0.25 * 0.75), atol=1e-6)

    def redness(colour: tuple[int, int, int]) -> float:
        return float(named(still(np.full((72, 96, 3), colour, np.uint8)), "lab_mean_a")[0])

    assert redness((220, 30, 30)) > 0.7 and redness((30, 220, 30)) < 0.3  # RGB, not BGR: Lab's a runs green to red


def test_change_is_mean_spread_and_maximum_over_the_steps() -> None:
    clip = np.zeros((5, 72, 96, 3), np.uint8)
    clip[2:, :18, :24] = 255  # one cell of 4x4 lights up at one of four steps
    mean, spread, highest = named(clip, "change").reshape(3, 16)
    expected = np.eye(16)[0]
    np.testing.assert_allclose(mean, expected * 0.25, atol=1e-6)
    np.testing.assert_allclose(spread, expected * np.std([0, 1, 0, 0]), atol=1e-6)
    np.testing.assert_allclose(highest, expected, atol=1e-6)


@pytest.mark.parametrize("step", [2.0, -2.0])
def test_flow_has_a_direction(step: float) -> None:
    clip = moving_square(FRAMES, size=SIZE, step=step)
    right, down = named(clip, "flow_right"), named(clip, "flow_down")
    assert np.abs(right - step).max() < 0.4 and np.abs(down).max() < 0.5
    assert np.abs(named(clip, "flow_mean") - 2).max() < 0.5
    tall = moving_square(FRAMES, size=(72, 96), step=step).transpose(0, 2, 1, 3)
    assert np.abs(named(tall, "flow_down") - step).max() < 0.4


def test_a_shaking_head_turns_round() -> None:
    one_way = moving_square(FRAMES, size=SIZE)
    assert named(one_way, "sideways_turns") == [0]
    to_and_fro = one_way[[0, 1] * (FRAMES // 2)]
    assert named(to_and_fro, "sideways_turns") == [1]
    in_pairs = one_way[[0, 1, 2, 1] * (FRAMES // 4)]
    assert 0.4 < named(in_pairs, "sideways_turns")[0] < 0.6
    assert named(to_and_fro, "flow_sd_right")[0] > 1.5 > 0.1 > named(one_way, "flow_sd_right")[0]


@pytest.mark.parametrize(("across", "down", "orientation"), [(1, 0, 0), (1, 1, 2), (0, 1, 4), (-1, 1, 6)])
def test_edges_have_an_orientation(across: int, down: int, orientation: int) -> None:
    y, x = np.mgrid[:72, :96]
    wave = (127 + 100 * np.sin((x * across + y * down) / 3)).astype(np.uint8)
    cells = named(still(np.repeat(wave[..., None], 3, axis=2)), "gradient_r").reshape(36, 8)
    assert (cells.argmax(axis=1) == orientation).all()
    assert np.isclose(np.sqrt((cells**2).sum()), 1, atol=1e-3)  # unit length per frame


def test_gradients_equal_a_literal_version() -> None:
    rng = np.random.default_rng(3)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (72, 96, 3)).astype(np.uint8), (0, 0), 2)
    grey = np.pad(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(int), 1, mode="reflect")
    expected = np.zeros((6, 6, 8))
    for row in range(72):
        for column in range(96):
            near = grey[row : row + 3, column : column + 3]
            across = (near[:, 2] - near[:, 0]) @ [1, 2, 1]
            down = (near[2] - near[0]) @ [1, 2, 1]
            turn = int(np.degrees(np.arctan2(down, across)) % 180 / 22.5 + 0.5) % 8
            expected[row // 12, column // 16, turn] += np.hypot(across, down)
    expected /= np.sqrt((expected**2).sum() + 100**2)
    # OpenCV's angles are exact to 0.3 degrees: a pixel on the border of two bins may fall into the other one.
    np.testing.assert_allclose(named(picture[None], "gradient_r").reshape(6, 6, 8), expected, atol=5e-3)


@pytest.mark.parametrize("kind", ["black", "white", "noise", "flicker"])
@pytest.mark.parametrize("frames", [1, 2, FRAMES])
def test_nothing_is_too_strange(kind: str, frames: int) -> None:
    shape = (frames, 72, 96, 3)
    clip = {
        "black": np.zeros(shape),
        "white": np.full(shape, 255),
        "noise": np.random.default_rng(0).integers(0, 256, shape),
        "flicker": np.full(shape, 255) * (np.arange(frames) % 2)[:, None, None, None],
    }[kind]
    values = statistics(clip.astype(np.uint8))
    assert np.isfinite(values).all() and np.abs(values).max() < 200
    assert np.abs(values.astype(np.float16).astype(np.float32) - values).max() <= np.abs(values).max() * 1e-3
    if frames == 1:
        assert not values[NAMES.index("change_mean_r0c0") :].any()


def test_clips_of_any_size_and_length(tmp_path: Path) -> None:
    encoder = FrameStats(VideoEncoderConfig())
    for index, (size, frames) in enumerate([((33, 47), 3), ((7, 5), 1), ((131, 9), 40), (SIZE, FRAMES)]):
        images = moving_square(frames, size=size)
        clip = encoder.load(write_frames(tmp_path / str(index), images))
        assert clip.inputs.shape == (417,) and np.isfinite(clip.inputs).all() and clip.notes == ()
        if size == SIZE:
            np.testing.assert_array_equal(clip.inputs, statistics(images))


def test_frames_can_be_chosen(tmp_path: Path) -> None:
    images = moving_square(12, size=SIZE)
    folder = write_frames(tmp_path / "clip", images)
    loaded = FrameStats(VideoEncoderConfig(frames=4)).load(folder).inputs
    np.testing.assert_array_equal(loaded, statistics(images[[1, 4, 7, 10]]))


def test_threads_do_not_change_a_bit(tmp_path: Path) -> None:
    encoder = FrameStats(VideoEncoderConfig())
    folders = [
        write_frames(tmp_path / str(i), moving_square(FRAMES, size=(80 + i, 60), step=i, seed=i)) for i in range(6)
    ] * 4
    alone = [encoder.load(folder).inputs for folder in folders]
    with ThreadPoolExecutor(8) as pool:
        together = [clip.inputs for clip in pool.map(encoder.load, folders)]
    np.testing.assert_array_equal(together, alone)


def test_encode_stacks_in_order() -> None:
    encoder = FrameStats(VideoEncoderConfig())
    rows = np.random.default_rng(0).normal(size=(3, 417)).astype(np.float32)
    out = encoder.encode([LoadedClip(row) for row in rows])
    assert out.shape == (3, encoder.layers, encoder.width) == (3, 1, 417) and out.dtype == np.float32
    np.testing.assert_array_equal(out[:, 0], rows)


def test_a_video_file(tmp_path: Path) -> None:
    import av

    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *SIZE, "yuv420p", 4_000_000
        for index, image in enumerate(moving_square(FRAMES, size=SIZE)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = FrameStats(VideoEncoderConfig()).load(path)
    exact = statistics(moving_square(FRAMES, size=SIZE))
    brightness = slice(NAMES.index("brightness_r0c0"), NAMES.index("lab_mean_l"))
    np.testing.assert_allclose(clip.inputs[brightness], exact[brightness], atol=0.02)
    assert abs(clip.inputs[NAMES.index("flow_right_r0c0")] - 2) < 0.4


def test_probe_is_cheap_and_knows_what_is_not_there(tmp_path: Path) -> None:
    encoder = FrameStats(VideoEncoderConfig())
    (tmp_path / "clip.mp4").write_bytes(b"not decoded here")
    (tmp_path / "empty.mp4").touch()
    assert encoder.probe(tmp_path / "clip.mp4") == encoder.probe(tmp_path) == 1
    with pytest.raises(MediaFault, match="0 bytes"):
        encoder.probe(tmp_path / "empty.mp4")
    with pytest.raises(MediaAbsent):
        encoder.probe(tmp_path / "none.mp4")


def test_described_without_loading_anything() -> None:
    code = (
        "import json, sys, mer.features.video as video\n"
        "from mer.config import VideoEncoderConfig\n"
        "card = video.describe(VideoEncoderConfig(), None)\n"
        "print(card.name, card.layers, card.width)\n"
        "print(json.dumps(video.preprocessing_words(VideoEncoderConfig(), None)))\n"
        "print({'torch', 'cv2', 'av', 'transformers'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    described, words, heavy = ended.stdout.splitlines()
    assert described == "framestats 1 417" and heavy == "set()"
    assert json.loads(words) == {
        "version": 1, "frames": 16, "max_seconds": 20.0, "crops": None, "face_detector_sha256": None,
    }  # fmt: skip


def test_open_encoder_gives_framestats() -> None:
    encoder = video.open_encoder(VideoEncoderConfig(frames=3), None)
    assert isinstance(encoder, FrameStats) and encoder.reader.count == 3


def test_a_face_detector_that_is_not_there_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    config = VideoEncoderConfig(face_detector=str(tmp_path / "yunet.onnx"))
    for ask in (video.describe, video.preprocessing_words, video.open_encoder):
        with pytest.raises(MerError, match=r"no such file.*face_detector") as caught:
            ask(config, None)
        assert "face_detector: null" in caught.value.then
