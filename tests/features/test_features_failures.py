"""Extraction that fails says why: reasons by kind, a limit on their share, both kept beside the features."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clip_corpus import voice, write_csv, write_sound

from mer.config import AudioEncoderConfig, DataConfig
from mer.data import load_corpus
from mer.errors import MerError
from mer.features import ensure as ensuring
from mer.features import ensure_features
from mer.features.failures import as_share, reasons_of
from mer.features.rehearse import rehearse

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve clips: 1 absent, 2 pointers, 1 cut off in its header, 1 whose sound alone is bad, 7 good."""
    folder = tmp_path / "root"
    write_csv(folder, "dev", ["joy", "anger", "neutral"] * 4)
    clips = [folder / f"audios/dev/dia{row // 3}_utt{row % 3}.flac" for row in range(12)]
    for row, path in enumerate(clips):
        write_sound(path, voice(0.4 + 0.01 * row))
    clips[0].unlink()
    clips[3].write_bytes(POINTER)
    clips[4].write_bytes(POINTER)
    clips[7].write_bytes(clips[7].read_bytes()[:30])
    nan = voice(0.5)
    nan[100] = float("nan")
    clips[9].unlink()
    write_sound(clips[9].with_suffix(".wav"), nan, subtype="FLOAT")
    return folder


def extract(root: Path, cache: Path, **settings):
    return ensure_features(DataConfig(root=str(root)), AudioEncoderConfig(), ["dev"], cache=cache, **settings)


def test_reasons_are_a_table_at_the_end_and_json_beside_the_features(root, tmp_path, capfd):
    done = extract(root, tmp_path / "cache")
    lines = [line.removeprefix("meld/dev with melstats: ") for line in capfd.readouterr().err.splitlines()]
    start = lines.index("clips that could not be read, by reason:")
    assert lines[start + 1].startswith("     2  a Git LFS pointer") and lines[start + 1].endswith(
        "  dev/dia1_utt0, dev/dia1_utt1"
    )
    assert any(line.strip().startswith("1  no such file") and line.endswith("dev/dia0_utt0") for line in lines)
    assert lines[-1] == "7 of 12 clips read (0 of them mended), 5 masked"
    card = json.loads(done.paths["dev"].with_suffix(".json").read_text())
    assert sum(reason["count"] for reason in card["reasons"]["masked"]) == len(card["masked"]) == 5
    assert card["reasons"]["masked"][0]["examples"] == ["dev/dia1_utt0", "dev/dia1_utt1"]
    (found,) = done.failures
    assert (found.count, found.clips) == (5, 12) and found.brief().startswith(
        "meld/dev with melstats: 5 of 12 clips could not be read: a Git LFS pointer"
    )
    again = extract(root, tmp_path / "cache", progress=False)
    assert again.encoded == 0 and again.failures[0].count == 5, "also of a file that was there"


def test_many_clips_have_no_line_each(root, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(ensuring, "MOST_LINES", 3)
    extract(root, tmp_path / "cache")
    err = capfd.readouterr().err
    assert "masked 5 clips, each with its reason in " in err and "masked dev/dia0_utt0" not in err


def test_a_share_above_the_limit_ends_it_with_the_reasons(root, tmp_path):
    with pytest.raises(MerError) as caught:
        extract(root, tmp_path / "cache", progress=False, max_failed=0.05)
    message = caught.value.message
    assert message.startswith("meld/dev with melstats: stopped: 4 of 12 clips cannot be read so far: a Git LFS pointer")
    assert "(2: dev/dia1_utt0, dev/dia1_utt1); " in message and "at most 5% of them (max_failed)" in message
    assert (
        f"`python -m mer.data check {root} --clips`" in message and "--max-failed 34% lets this split pass" in message
    )
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    (record,) = (tmp_path / "cache").rglob("*.failed.json")
    assert len(json.loads(record.read_text())["masked"]) == 4, "the sound that only decoding shows was not reached"


@pytest.mark.parametrize(("share", "ends"), [(0.34, True), (0.41, True), (0.42, False), (1.0, False), (None, False)])
def test_the_limit_counts_what_decoding_shows_too(root, tmp_path, share, ends):
    if ends:
        with pytest.raises(MerError, match=r"stopped: 5 of 12 clips"):
            extract(root, tmp_path / "cache", progress=False, max_failed=share)
        advised = 0.42  # as the message says
        assert extract(root, tmp_path / "cache", progress=False, max_failed=advised).failures[0].count == 5
        assert not list((tmp_path / "cache").rglob("*.failed.json"))
    else:
        assert extract(root, tmp_path / "cache", progress=False, max_failed=share).failures[0].count == 5


def test_a_file_that_was_there_is_held_to_the_limit(root, tmp_path):
    extract(root, tmp_path / "cache", progress=False)
    with pytest.raises(MerError, match=r"stopped: 5 of 12 clips.*"):
        extract(root, tmp_path / "cache", progress=False, max_failed=0.2)


def test_a_rehearsal_refuses_what_needs_no_decoding(root):
    corpus = load_corpus("meld", root, splits=("dev",))
    rehearse(AudioEncoderConfig(), corpus, ["dev"])
    rehearse(AudioEncoderConfig(), corpus, ["dev"], max_failed=0.25)
    with pytest.raises(MerError, match=r"stopped: 3 of 12 clips.*Git LFS pointer.*no such file"):
        rehearse(AudioEncoderConfig(), corpus, ["dev"], max_failed=0.2)


def test_kinds_leave_out_what_differs_between_clips():
    faults = {
        "a": "ends early: 12 of 77 frames", "b": "ends early: 3 of 5 frames", "c": "0 bytes",
        "d": "the path '../x' leaves the data folder: not opened",
        "e": "the path '/y' leaves the data folder: not opened",
    }  # fmt: skip
    assert [(reason.kind, reason.count) for reason in reasons_of(faults)] == [
        ("ends early: N of N frames", 2),
        ("the path '...' leaves the data folder: not opened", 2),
        ("0 bytes", 1),
    ]


@pytest.mark.parametrize(
    ("said", "share"), [("5%", 0.05), ("5 %", 0.05), ("0.05", 0.05), (0.05, 0.05), ("100%", 1.0), (0, 0.0), ("0%", 0.0)]
)
def test_shares(said, share):
    assert as_share(said) == pytest.approx(share)


@pytest.mark.parametrize("said", ["5", 12, "five", "-1%", "101%", True, [1], "nan", "1e400"])
def test_what_is_no_share(said):
    with pytest.raises(ValueError, match=r"a share"):
        as_share(said)
