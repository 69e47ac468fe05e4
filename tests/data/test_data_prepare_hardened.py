"""What `prepare` does not open, does not widen, and does not call done; and videos of any ending."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from pathlib import Path

import pytest
from media_files import write_video
from meld_files import meld_csv

from mer.data.prepare.from_archive import prepare
from mer.errors import MerError


def run(raw: Path, out: Path, **settings):
    return prepare(raw, out, **({"workers": 2, "progress": lambda done, total: None} | settings))


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "dia0_utt0.mp4", 8)


@pytest.fixture
def raw(clip, tmp_path) -> Path:
    """An archive of two utterances; the first has its clip."""
    folder = tmp_path / "raw/train_splits"
    folder.mkdir(parents=True)
    shutil.copy(clip, folder / "dia0_utt0.mp4")
    rows = [{"Dialogue_ID": 0, "Utterance_ID": number} for number in (0, 1)]
    (tmp_path / "raw/train_sent_emo.csv").write_text(meld_csv(*rows))
    return tmp_path / "raw"


def odd_file(kind: str, place: Path, outside: Path) -> None:
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(place.parent):
            listener.bind(place.name)
    elif kind == "link":
        place.symlink_to(outside)
    elif kind == "relative link":
        place.symlink_to(os.path.relpath(outside, place.parent))


@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "link", "relative link"])
def test_neither_links_out_nor_odd_files_are_opened(kind, raw, clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd_file(kind, raw / "train_splits/dia0_utt1.mp4", clip)
    prepared = run(raw, tmp_path / "out")
    entry = prepared.manifest.entries["train/dia0_utt1"]
    said = "a link that leads out of raw: not opened" if "link" in kind else f"not a file: a {kind}"
    assert (entry.audio_fault, entry.video_fault, entry.source) == (said, said, "train_splits/dia0_utt1.mp4")
    assert not list((tmp_path / "out").rglob("*utt1*"))
    assert f"fault train/dia0_utt1: sound: {said}" in (tmp_path / "out/prepare.log").read_text()


def test_a_folder_that_leads_out_is_not_followed_and_one_inside_is(raw, clip, tmp_path):
    (raw / "train_splits").rename(tmp_path / "away")
    (raw / "train_splits").symlink_to(tmp_path / "away")
    with pytest.raises(MerError, match=r"not one of 2 utterances has a usable clip: .*a link that leads out of raw"):
        run(raw, tmp_path / "out")
    (raw / "train_splits").unlink()
    (tmp_path / "away").rename(raw / "real")
    (raw / "train_splits").symlink_to("real")
    assert run(raw, tmp_path / "out").manifest.entries["train/dia0_utt0"].audio is not None


def test_a_csv_file_that_is_a_link_out_is_refused(raw, tmp_path):
    (raw / "train_sent_emo.csv").rename(tmp_path / "elsewhere.csv")
    (raw / "train_sent_emo.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(MerError, match="a link that leads out of raw: not opened"):
        run(raw, tmp_path / "out")
    assert not (tmp_path / "out/train_sent_emo.csv").exists()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_what_is_made_of_a_private_clip_is_as_private(mode, raw, tmp_path):
    source = raw / "train_splits/dia0_utt0.mp4"
    source.chmod(mode)
    (raw / "train_sent_emo.csv").chmod(mode)
    run(raw, tmp_path / "out", link="copy")
    made = ["videos/train/dia0_utt0.mp4", "audios/train/dia0_utt0.flac", "train_sent_emo.csv"]
    assert [(tmp_path / "out" / name).stat().st_mode & 0o777 for name in made] == [mode] * 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><title>Quota exceeded", "a web page"),
        (b"", "0 bytes"),
    ],
    ids=["lfs", "html", "empty"],
)
def test_a_run_that_placed_nothing_ends_with_an_error(content, said, raw, tmp_path, typed):
    (raw / "train_splits/dia0_utt0.mp4").write_bytes(content)
    code, _, err = typed("prepare", raw, "--out", tmp_path / "out")
    assert code == 2 and err.count("error:") == 1 and "Traceback" not in err
    assert "not one of 2 utterances has a usable clip" in err and said in err and "no clip in the archive" in err


def test_clips_under_names_of_another_scheme_are_an_error(raw, tmp_path):
    (raw / "train_splits/dia0_utt0.mp4").rename(raw / "train_splits/clip_0001.mp4")
    with pytest.raises(MerError, match="no clip in the archive") as raised:
        run(raw, tmp_path / "out")
    assert "dia0_utt0.mp4" in raised.value.message


@pytest.mark.parametrize("ending", [".MP4", ".mkv", ".MOV", ".avi"])
def test_raw_clips_of_any_ending(ending, raw, tmp_path):
    write_video(raw / f"train_splits/dia0_utt1{ending.lower()}", 8, size=(48, 32))
    (raw / f"train_splits/dia0_utt1{ending.lower()}").rename(raw / f"train_splits/dia0_utt1{ending}")
    entry = run(raw, tmp_path / "out").manifest.entries["train/dia0_utt1"]
    assert entry.source == f"train_splits/dia0_utt1{ending}" and entry.audio and entry.video and not entry.video_fault


def test_two_raw_clips_of_one_id(raw, clip, tmp_path):
    shutil.copy(clip, raw / "train_splits/dia0_utt0.AVI")
    entry = run(raw, tmp_path / "out").manifest.entries["train/dia0_utt0"]
    assert entry.source == "train_splits/dia0_utt0.mp4"
    assert "dia0_utt0.AVI left alone: .mp4 comes first" in entry.decision
    assert "choice train/dia0_utt0: only one; dia0_utt0.AVI left alone" in (tmp_path / "out/prepare.log").read_text()
