"""Clips that would take all memory or all time: refused, or read within bounds."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from media_files import write_images, write_video

from mer.console import QUIET_ENVIRONMENT
from mer.data.media import video
from mer.data.media.demux import MOST_PIXELS, refuse_large
from mer.data.media.faults import MediaFault
from mer.data.media.paths import ClipFinder
from mer.data.media.video import read_frames
from mer.data.readers.ravdess import RAVDESS


def write_png(path: Path, width: int, height: int) -> None:
    """Write a black picture of one bit a pixel, in few bytes."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 + (width + 7) // 8) * 100) for _ in range(height // 100)) + packer.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_a_picture_of_900_million_pixels(tmp_path: Path) -> None:
    write_png(tmp_path / "pictures" / "1.png", 30_000, 30_000)
    assert (tmp_path / "pictures" / "1.png").stat().st_size < 200_000
    assert QUIET_ENVIRONMENT["OPENCV_IO_MAX_IMAGE_PIXELS"] == str(MOST_PIXELS)
    with pytest.raises(MediaFault, match=r"1\.png"):
        read_frames(tmp_path / "pictures", 2, max_seconds=1)
    refuse_large(7680, 4320)
    for width, height in ((7681, 4400), (100_000, 100_000)):
        with pytest.raises(MediaFault, match=f"pictures of {width}x{height} pixels, at most {MOST_PIXELS:,} are read"):
            refuse_large(width, height)


def test_large_frames_are_kept_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_video(tmp_path / "a.mp4", 12, size=(64, 48))
    folder = write_images(tmp_path / "pictures", 4)
    whole = read_frames(clip, 4, max_seconds=9).images
    assert whole.shape == (4, 48, 64, 3) == read_frames(folder, 4, max_seconds=9).images.shape
    monkeypatch.setattr(video, "MOST_PIXELS_KEPT", 4 * 32 * 24)
    for path in (clip, folder):
        assert read_frames(path, 4, max_seconds=9).images.shape == (4, 24, 32, 3)
    assert abs(read_frames(clip, 4, max_seconds=9).images.mean() - np.mean(whole)) < 3


def test_frames_whose_times_hardly_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_video(tmp_path / "a.mkv", 40, fps=25)
    monkeypatch.setattr(video, "MOST_FRAMES_PER_S", 30)
    frames = read_frames(clip, 2, max_seconds=1)
    assert "cut to its first 1 s" in " ".join(frames.notes) and len(frames.images) == 2


@pytest.mark.parametrize("name", ["a\x00b.wav", "sounds\x00/a.wav", "\x00"])
def test_a_zero_byte_in_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(MediaFault, match="its name has a zero byte"):
        ClipFinder(tmp_path).find("audio", name)


def test_links_that_metadata_csv_names_stay_inside(tmp_path: Path) -> None:
    from mer.config import DataConfig

    root, name = tmp_path / "ravdess", "03-01-01-01-01-01-01.wav"
    (root / "sounds").mkdir(parents=True)
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    (root / "sounds" / name).symlink_to(tmp_path / "secret.wav")
    (root / "metadata.csv").write_text(f"file\nsounds/{name}\nsounds/03-01-03-01-01-01-02.wav\n")
    corpus = RAVDESS.read(DataConfig(dataset="ravdess", root=str(root)), ("train",))
    with pytest.raises(MediaFault, match="a link that leads out of ravdess: not opened"):
        ClipFinder(corpus.root, corpus.links).find("audio", f"sounds/{name}")
    (root / "metadata.csv").unlink()
    (root / "Actor_01").mkdir()
    os.link(root / "sounds" / name, root / "Actor_01" / name, follow_symlinks=False)
    corpus = RAVDESS.read(DataConfig(dataset="ravdess", root=str(root)), ("train",))
    assert corpus.links == "anywhere", "nobody names a path there"
