"""A clip is found by its id, whatever its ending; nothing but regular files inside the root is opened."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from media_files import sine, write_video, write_wav

from mer.data.media import ClipFinder, MediaAbsent, MediaFault, clip_path
from mer.data.media.audio import audio_length, read_audio
from mer.data.media.video import read_frames


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize(
    "ending", ["wav", "mp3", "m4a", "ogg", "opus", "flac", "WAV", "Mp3", "MP4", "MOV", "mkv", "avi", "webm", "aiff"]
)
def test_sound_is_found_under_any_ending(tmp_path: Path, ending: str) -> None:
    there = touch(tmp_path / f"audios/train/dia0_utt0.{ending}")
    touch(tmp_path / "audios/train/dia0_utt01.flac")  # another id
    found = ClipFinder(tmp_path).find("audio", "audios/train/dia0_utt0.flac", "videos/train/dia0_utt0.mp4")
    assert found.path == there and found.notes == ()
    assert clip_path(tmp_path, "audios/train/dia0_utt0") == there, "an id without any ending"


@pytest.mark.parametrize("ending", ["MP4", "MOV", "avi", "webm", "m4v"])
def test_sound_is_in_the_video_where_no_audio_file_is_there(tmp_path: Path, ending: str) -> None:
    there = touch(tmp_path / f"videos/train/dia0_utt0.{ending}")
    finder = ClipFinder(tmp_path)
    names = ("audios/train/dia0_utt0.flac", "videos/train/dia0_utt0.mp4")
    assert finder.find("audio", *names).path == finder.find("video", names[1]).path == there
    with pytest.raises(MediaAbsent, match=r"^no such file$"):
        finder.find("audio", names[0])
    touch(tmp_path / "audios/train/dia0_utt1.ogg")  # beside other sounds, one is missing for a reason
    with pytest.raises(MediaAbsent):
        ClipFinder(tmp_path).find("audio", *names)
    assert ClipFinder(tmp_path).find("audio", None, names[1]).path == there, "the data name no sound of its own"


def test_pictures_are_not_sought_in_sounds(tmp_path: Path) -> None:
    touch(tmp_path / "videos/a.wav")
    with pytest.raises(MediaAbsent):
        ClipFinder(tmp_path).find("video", "videos/a.mp4")


def test_two_files_of_one_id_are_said(tmp_path: Path) -> None:
    for name in ("a.mp3", "a.wav", "a.mp4", "b.wav", "b.mp4", "c.flac", "c.WAV"):
        touch(tmp_path / name)
    finder = ClipFinder(tmp_path)
    found = finder.find("audio", "a.flac")
    assert found.path.name == "a.wav"
    (note,) = found.notes
    assert note.startswith("2 files of one id (a.wav, a.mp3): a.wav is read, the order is .wav .mp3")
    assert finder.find("audio", "b.flac").notes == (), "a video beside its own sound"
    named = finder.find("audio", "c.flac")
    assert named.notes == ("2 files of one id (c.flac, c.WAV): c.flac is read, the name in the data",)


@pytest.mark.parametrize(
    "name", ["../a.wav", "x/../../a.wav", "/etc/passwd", "C:\\a.wav", "", "  ", "a\\..\\..\\b.wav"]
)
def test_no_name_leaves_the_root(tmp_path: Path, name: str) -> None:
    with pytest.raises(MediaFault, match=r"leaves the data folder|no such file"):
        ClipFinder(tmp_path).find("audio", name)


def test_an_absolute_path_below_the_root_is_one_of_its_own(tmp_path: Path) -> None:
    there = touch(tmp_path / "root/wavs/a.wav")
    assert clip_path(tmp_path / "root", str(there)) == there
    with pytest.raises(MediaFault, match="leaves the data folder"):
        clip_path(tmp_path / "root", str(touch(tmp_path / "rootless/a.wav")))


def test_links_out_of_the_root_are_the_owners_or_refused(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere/a.wav")
    root = tmp_path / "root"
    touch(root / "b.wav")
    (root / "a.wav").symlink_to(tmp_path / "elsewhere/a.wav")
    (root / "folder").symlink_to(tmp_path / "elsewhere")
    (root / "c.wav").symlink_to("b.wav")
    assert ClipFinder(root).find("audio", "a.wav").path.name == "a.wav"
    for name in ("a.wav", "folder/a.wav", "a.flac"):
        with pytest.raises(MediaFault, match=r"^a link that leads out of root: not opened$"):
            ClipFinder(root, links="inside").find("audio", name)
    assert ClipFinder(root, links="inside").find("audio", "c.wav").path.name == "c.wav"


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "device.wav").symlink_to("/dev/zero")
    (tmp_path / "folder.wav").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        with contextlib.chdir(tmp_path):  # a socket's path may have 107 characters
            listener.bind("socket.wav")
        for name in ("pipe", "device", "socket", "folder"):
            path = tmp_path / f"{name}.wav"
            for ask in (
                lambda path=path: clip_path(tmp_path, path.name),
                lambda path=path: read_audio(path, max_seconds=1),
                lambda path=path: audio_length(path, max_seconds=1),
            ):
                with pytest.raises(MediaFault, match=rf"^not a file: a {name}$"):
                    ask()


def test_a_picture_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "frame1.png")
    with pytest.raises(MediaFault, match=r"^frame1.png: not a file: a pipe$"):
        read_frames(tmp_path, 2, max_seconds=1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n", "Git LFS pointer.*git lfs pull"),
        (b"\n<!DOCTYPE HTML><html><head><title>404", "web page"),
        (b"\xef\xbb\xbf<html lang=en>", "web page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied', "XML"),
        (b"/annex/objects/SHA256E-s1--ab.wav\n", "git-annex pointer"),
        (b"PK\x03\x04" + bytes(60), r"archive \(zip\)"),
    ],
    ids=["lfs", "html", "html with a BOM", "xml", "annex", "zip"],
)
def test_what_stands_in_for_a_clip_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    for name in ("a.mp3", "a.mp4", "a.wav"):
        (tmp_path / name).write_bytes(content)
        for ask in (read_audio, audio_length):
            with pytest.raises(MediaFault, match=said):
                ask(tmp_path / name, max_seconds=5)
        with pytest.raises(MediaFault, match=said):
            read_frames(tmp_path / name, 2, max_seconds=5)


def test_formats_under_other_endings_are_read(tmp_path: Path) -> None:
    samples = sine(0.5)
    for ending, format, subtype in (("flac", "WAV", "PCM_16"), ("wav", "FLAC", "PCM_16"), ("MP3", "OGG", "OPUS")):
        path = write_wav(tmp_path / f"a.{ending}", samples=samples, format=format, subtype=subtype)
        assert np.abs(read_audio(path, max_seconds=5).samples).max() > 0.4
    assert read_frames(write_video(tmp_path / "b.AVI.mp4", 5), 2, max_seconds=5).images.shape[0] == 2
