"""Pictures: which frames come back is read from the frames themselves, which carry their number."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media_files import coded_frame, frame_code, truncate, write_images, write_video, write_wav

from mer.data.media import MediaAbsent, MediaFault
from mer.data.media.video import Frames, read_frames


def read(path: Path, count: int = 8, max_seconds: float = 20.0, size: tuple[int, int] | None = None) -> Frames:
    """Read, and check what holds for every clip."""
    frames = read_frames(path, count, max_seconds=max_seconds, size=size)
    assert frames.images.dtype == np.uint8 and frames.images.shape[::3] == (count, 3)
    return frames


def codes(frames: Frames) -> list[int]:
    return [frame_code(image) for image in frames.images]


def centres(total: int, count: int) -> list[int]:
    return [int((i + 0.5) * total / count) for i in range(count)]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """75 frames at 25 frames/s, 320x240, with sound, its index in front."""
    return write_video(tmp_path_factory.mktemp("clip") / "a.mp4", 75, size=(320, 240), faststart=True)


@pytest.mark.parametrize("count", [1, 8, 16, 32, 75, 100])
@pytest.mark.parametrize("size", [None, (64, 64)])
def test_frames_at_the_centres_of_equal_bins(clip: Path, count: int, size: tuple[int, int] | None) -> None:
    frames = read(clip, count, size=size)
    assert codes(frames) == centres(75, count)
    assert frames.images.shape[1:3] == ((240, 320) if size is None else (64, 64))
    assert frames.duration_s == pytest.approx(3.0) and not frames.notes


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_clip_shorter_than_the_count_repeats_frames(tmp_path: Path, frames: int) -> None:
    assert codes(read(write_video(tmp_path / "a.mp4", frames))) == centres(frames, 8)


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mkv", "mpeg4"), (".avi", "mpeg4"), (".mov", "libx264"), (".webm", "libvpx")]
)
def test_containers_whose_header_only_guesses_the_number(tmp_path: Path, suffix: str, codec: str) -> None:
    path = write_video(tmp_path / f"a{suffix}", 20, codec=codec, sound=suffix != ".webm")
    assert codes(read(path)) == centres(20, 8)
    assert not read(path).notes


def test_only_the_first_seconds_of_a_long_clip(tmp_path: Path) -> None:
    frames = read(write_video(tmp_path / "a.mp4", 610, fps=2, sound=False))
    assert codes(frames) == centres(40, 8)
    assert frames.notes == ("305.0 s long: cut to its first 20 s",) and frames.duration_s == pytest.approx(305)


@pytest.mark.parametrize("size", [(321, 181), (33, 47)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = read(write_video(tmp_path / "a.mp4", 10, size=size))
    assert frames.images.shape == (8, size[1], size[0], 3)
    assert codes(frames) == centres(10, 8)


@pytest.mark.parametrize(("colour", "channel"), [((255, 0, 0), 0), ((0, 255, 0), 1), ((0, 0, 255), 2)])
def test_channels_are_red_green_blue(tmp_path: Path, colour: tuple[int, int, int], channel: int) -> None:
    means = read(write_video(tmp_path / "a.mp4", 3, colour=colour), size=(32, 32)).images.mean(axis=(0, 1, 2))
    assert means[channel] > 230 and np.delete(means, channel).max() < 25


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_varying_frame_rate_is_sampled_evenly_in_time(tmp_path: Path, suffix: str) -> None:
    shown = [0, 0.04, 0.08, 0.5, 1.0, 1.5, 1.54, 1.58]
    frames = read(write_video(tmp_path / f"a{suffix}", times=shown, sound=False), 8)
    at = (np.arange(8) + 0.5) * 1.62 / 8
    assert codes(frames) == [max(i for i, time in enumerate(shown) if time <= t) for t in at]
    assert frames.duration_s == pytest.approx(1.62, abs=0.01) and not frames.notes


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_phone_held_upright(tmp_path: Path, rotation: int) -> None:
    image = read(write_video(tmp_path / "a.mp4", frames=2, rotation=rotation), 2).images[1]
    upright = np.rot90(coded_frame(1, (64, 48)), -rotation // 90)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).mean() < 12


def test_a_cut_off_clip_gives_frames_of_its_good_part(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(clip.read_bytes())
    frames = read(truncate(path))
    real = int(frames.notes[0].split()[2])
    assert frames.notes == (f"ends early: {real} of 75 frames",) and 20 < real < 60
    assert codes(frames) == centres(real, 8)
    assert frames.duration_s == pytest.approx(real / 25)


def test_a_cut_without_encoding_promises_frames_it_does_not_show(clip: Path, tmp_path: Path) -> None:
    """Cut like `ffmpeg -ss -c copy`: packets since the last key frame stay, an edit list hides those before the cut."""
    import av

    with av.open(str(clip)) as source, av.open(str(tmp_path / "a.mp4"), "w") as cut:
        stream = source.streams.video[0]
        copy = cut.add_stream_from_template(stream)
        hidden = int(Fraction(20, 25) / stream.time_base)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - hidden, packet.dts - hidden, copy
                cut.mux(packet)
    frames = read(tmp_path / "a.mp4")
    assert codes(frames) == [20 + i for i in centres(55, 8)]
    assert frames.notes == ("ends early: 55 of 75 frames",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "^0 bytes$"),
        (b"It was a dark and stormy night.\n" * 40, "^cannot be decoded: "),
        (None, "^cannot be decoded: "),
    ],
    ids=["empty", "text", "index cut off"],
)
def test_what_is_no_video(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.mp4"
    if content is None:
        truncate(write_video(path, 75))
    else:
        path.write_bytes(content)
    with pytest.raises(MediaFault, match=message) as caught:
        read_frames(path, 8, max_seconds=20)
    assert str(tmp_path) not in str(caught.value)


def test_no_video_track_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(MediaFault, match=r"^no video track$"):
        read_frames(write_wav(tmp_path / "a.wav", 1), 8, max_seconds=20)
    with pytest.raises(MediaAbsent, match=r"^no such file$"):
        read_frames(tmp_path / "b.mp4", 8, max_seconds=20)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_folder_of_images_in_natural_order(tmp_path: Path, suffix: str) -> None:
    folder = write_images(tmp_path / "faces", 12, suffix=suffix)
    (folder / "notes.txt").write_text("no image")
    assert codes(read(folder)) == centres(12, 8)
    assert read(folder, size=(32, 20)).images.shape == (8, 20, 32, 3)


def test_faults_of_a_folder_of_images(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "faces", 2)
    (folder / "frame2.png").write_bytes(b"")
    with pytest.raises(MediaFault, match=r"^frame2\.png has 0 bytes$"):
        read_frames(folder, 2, max_seconds=20)
    (folder / "frame2.png").write_bytes(b"no image")
    with pytest.raises(MediaFault, match=r"^frame2\.png is not an image$"):
        read_frames(folder, 2, max_seconds=20)
    (tmp_path / "none").mkdir()
    with pytest.raises(MediaFault, match=r"^a folder without jpg or png images$"):
        read_frames(tmp_path / "none", 2, max_seconds=20)


def test_images_of_several_sizes_take_that_of_the_first(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "faces", 1, size=(64, 48))
    write_images(tmp_path / "other", 2, size=(90, 30))
    (tmp_path / "other" / "frame2.png").rename(folder / "frame2.png")
    frames = read(folder, 2)
    assert frames.images.shape == (2, 48, 64, 3) and codes(frames) == [0, 1]


def test_threads_read_what_one_reads(clip: Path, tmp_path: Path) -> None:
    paths = [clip, write_video(tmp_path / "a.mkv", 20), write_video(tmp_path / "b.mp4", 30, codec="libx264")]
    alone = [read(path, size=(48, 48)).images for path in paths] * 8
    with ThreadPoolExecutor(8) as pool:
        together = [frames.images for frames in pool.map(lambda path: read(path, size=(48, 48)), paths * 8)]
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_broken_clips_are_not_told_on_stderr_too(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:30000])
    (tmp_path / "text.mp4").write_text("no video\n" * 99)
    script = """
import sys, pathlib
from mer.data.media import MediaFault
from mer.data.media.video import read_frames
for name in sys.argv[1:]:
    try:
        print(read_frames(pathlib.Path(name), 4, max_seconds=9).notes)
    except MediaFault as fault:
        print(fault)
"""
    names = [str(tmp_path / name) for name in ("cut.mp4", "text.mp4", "absent.mp4")]
    done = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True, check=True)
    assert done.stderr == "" and "ends early" in done.stdout and "no such file" in done.stdout
