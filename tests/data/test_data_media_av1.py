"""Pictures that OpenCV cannot decode are decoded by PyAV: the same frames, upright; what nobody decodes is said."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_files import coded_frame, frame_code, truncate, write_video, write_wav

from mer.data.media import MediaFault
from mer.data.media import video as module
from mer.data.media.demux import video_duration_s
from mer.data.media.video import bin_centres, read_frames


def write_av1(path: Path, frames: int, fps: int = 25, size: tuple[int, int] = (128, 96)) -> Path:
    """Write numbered frames by SVT-AV1, which is in PyAV's wheel; the container follows the suffix."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libsvtav1", rate=fps, options={"preset": "12", "svtav1-params": "lp=1"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(coded_frame(index, size), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def av1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_av1(tmp_path_factory.mktemp("av1") / "a.mp4", 50)


@pytest.fixture
def without_opencv(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let OpenCV find no decoder for anything, as it has none for AV1."""

    def refuse(path: Path) -> Any:
        raise module._NoDecoder("cannot be decoded")

    monkeypatch.setattr(module, "_opened", refuse)
    yield


def codes(path: Path, count: int, **settings: Any) -> list[int]:
    return [frame_code(image) for image in read_frames(path, count, **({"max_seconds": 20} | settings)).images]


def test_av1_gives_exactly_the_frames_that_were_asked_for(av1: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert codes(av1, 8) == bin_centres(50, 8)
    assert codes(av1, 4, max_seconds=1.0) == bin_centres(25, 4)
    clip = read_frames(av1, 3, max_seconds=20, size=(32, 24))
    assert clip.images.shape == (3, 24, 32, 3) and clip.duration_s == pytest.approx(2.0) and clip.notes == ()
    assert video_duration_s(av1) == pytest.approx(2.0, abs=0.05)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_av1_in_other_containers(tmp_path: Path, suffix: str) -> None:
    assert codes(write_av1(tmp_path / f"a{suffix}", 20), 5) == bin_centres(20, 5)


def test_a_damaged_av1_file(av1: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(av1.read_bytes())
    with pytest.raises(MediaFault, match=r"^cannot be decoded: "):  # its index was at the end
        read_frames(truncate(cut, 0.5), 4, max_seconds=20)


@pytest.mark.usefixtures("without_opencv")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_pyav_chooses_the_same_frames_of_any_codec(tmp_path: Path, suffix: str, monkeypatch) -> None:
    path = write_video(tmp_path / f"a{suffix}", 40)
    found = read_frames(path, 7, max_seconds=20)
    assert [frame_code(image) for image in found.images] == bin_centres(40, 7)
    monkeypatch.undo()
    usual = read_frames(path, 7, max_seconds=20)
    assert np.abs(found.images.astype(int) - usual.images).mean() < 2
    assert found.duration_s == pytest.approx(usual.duration_s, abs=0.1)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_that_of_opencv(tmp_path: Path, degrees: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", 9, rotation=degrees)
    usual = read_frames(path, 3, max_seconds=20)

    def refuse(path: Path) -> Any:
        raise module._NoDecoder("cannot be decoded")

    monkeypatch.setattr(module, "_opened", refuse)
    found = read_frames(path, 3, max_seconds=20)
    assert found.images.shape == usual.images.shape
    assert np.abs(found.images.astype(int) - usual.images).mean() < 3


def test_no_pictures_and_no_decoder_are_said_from_the_header(tmp_path: Path, av1: Path) -> None:
    sound = write_wav(tmp_path / "sound.mp4", 0.5)
    for ask in (video_duration_s, lambda path: read_frames(path, 2, max_seconds=5)):
        with pytest.raises(MediaFault, match=r"^no video track$"):
            ask(sound)
    unknown = tmp_path / "unknown.mp4"  # the name of a codec that nobody has
    unknown.write_bytes(av1.read_bytes().replace(b"av01", b"zz01"))
    for ask in (video_duration_s, lambda path: read_frames(path, 2, max_seconds=5)):
        with pytest.raises(MediaFault, match=r"^(no decoder for its pictures|cannot be decoded|no frames)"):
            ask(unknown)
