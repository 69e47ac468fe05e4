"""From a raw archive to a corpus: which clip is taken, what becomes of bad ones, and that nothing is done twice."""

from __future__ import annotations

import errno
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from media_files import truncate, write_video
from meld_files import meld_csv

from mer.data import load_corpus
from mer.data.prepare.from_archive import prepare
from mer.data.prepare.manifest import MANIFEST, read_manifest
from mer.data.prepare.placing import place
from mer.data.prepare.report import fault_lines, summary_lines
from mer.errors import MerError
from mer.files import sha256_file

TEST = "output_repeated_splits_test"


def clock(second: float) -> str:
    return f"00:00:{int(second):02d},{round(second % 1 * 1000):03d}"


def row(dialogue: int, utterance: int, length_s: float = 1.0) -> dict[str, object]:
    return {"Dialogue_ID": dialogue, "Utterance_ID": utterance, "StartTime": clock(1), "EndTime": clock(1 + length_s)}


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """Every oddity of the real one (methods 7.4), a few clips in size. Never written to by a test."""
    raw = tmp_path_factory.mktemp("archive")
    train, dev, test = raw / "train_splits", raw / "dev_splits_complete", raw / TEST
    write_video(train / "dia0_utt0.mp4", 25)
    write_video(train / "dia0_utt1.mp4", 15, rate=44100, layout="stereo")
    truncate(write_video(train / "dia0_utt2.mp4"), 0.6)  # its index was at the end
    write_video(train / "dia1_utt0.mp4", 25, sound=False)
    (train / "dia1_utt1.mp4").write_bytes(b"")
    (train / "._dia0_utt0.mp4").write_bytes(b"macOS")
    write_video(dev / "dia0_utt0.mp4", 10)
    write_video(dev / "dia0_utt9.mp4", 10)  # no annotation
    for name, frames in {"dia0_utt0": 75, "dia0_utt1": 26, "dia0_utt2": 25, "dia0_utt3": 50, "dia0_utt4": 25}.items():
        write_video(test / f"{name}.mp4", frames)
    for name, frames in {"dia0_utt0": 27, "dia0_utt1": 60, "dia0_utt3": 25, "dia0_utt5": 25}.items():
        write_video(test / f"final_videos_test{name}.mp4", frames)
    (test / "final_videos_testdia0_utt2.mp4").write_bytes(b"not a video")
    write_video(test / "final_videos_testdia0_utt4.mp4", 25, sound=False)
    shutil.move(test / "dia0_utt4.mp4", test / "keep")
    shutil.move(test / "final_videos_testdia0_utt4.mp4", test / "dia0_utt4.mp4")  # plain: silent
    shutil.move(test / "keep", test / "final_videos_testdia0_utt4.mp4")
    rows = {
        "train": [row(0, 0), row(0, 1), row(0, 2), row(1, 0), row(1, 1), row(7, 7)],  # the last one has no clip
        "dev": [row(0, 0)],
        "test": [row(0, 0), row(0, 1), row(0, 2), row(0, 3, length_s=0), row(0, 4), row(0, 5)],
    }
    for split, content in rows.items():
        (raw / f"{split}_sent_emo.csv").write_text(meld_csv(*content))
    return raw


def quiet(done: int, total: int) -> None:
    pass


def run(raw: Path, out: Path, **settings):
    return prepare(raw, out, **({"workers": 2, "progress": quiet} | settings))


def tree(out: Path) -> dict[str, str]:
    """Every file below `out` but the lock, with its content's hash."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name != ".prepare.lock")
    return {path.relative_to(out).as_posix(): sha256_file(path) for path in files}


@pytest.fixture(scope="module")
def done(archive, tmp_path_factory):
    """(out, Preparation) of one run, to look at only."""
    out = tmp_path_factory.mktemp("done") / "MELD"
    return out, run(archive, out)


def test_each_utterance_has_its_sound_and_its_video_where_the_reader_says(archive, done):
    out, _ = done
    corpus = load_corpus("meld", out, ["train", "dev", "test"])
    (first, second, *_) = corpus.utterances("train")
    for utterance, seconds in ((first, 1.0), (second, 0.6)):
        sound = soundfile.info(out / utterance.audio)
        assert (sound.samplerate, sound.channels, sound.subtype, sound.format) == (16000, 1, "PCM_16", "FLAC")
        assert sound.duration == pytest.approx(seconds, abs=0.03)
        samples, _ = soundfile.read(out / utterance.audio)
        loudest = np.abs(np.fft.rfft(samples)).argmax() * 16000 / len(samples)
        assert loudest == pytest.approx(440, abs=3)
    assert (out / first.video).samefile(archive / "train_splits/dia0_utt0.mp4")
    assert [path.name for path in sorted((out / "audios/dev").iterdir())] == ["dia0_utt0.flac"]


def test_bad_clips_are_said_and_nothing_stops(done):
    out, prepared = done
    entries = prepared.manifest.entries
    assert entries["train/dia0_utt2"].audio is None and "cannot be decoded" in entries["train/dia0_utt2"].audio_fault
    assert entries["train/dia1_utt0"].audio_fault == "no sound track" and not entries["train/dia1_utt0"].video_fault
    assert entries["train/dia1_utt1"].audio_fault == entries["train/dia1_utt1"].video_fault == "0 bytes"
    assert entries["train/dia7_utt7"].source is None
    assert (out / "videos/train/dia1_utt0.mp4").is_file() and not (out / "audios/train/dia1_utt0.flac").exists()
    assert summary_lines(prepared) == [
        "train: 2 of 6 clips have sound; 1 not in the archive; 3 without usable sound; "
        "2 that cannot be opened as video",
        "dev: 1 of 1 clips have sound; 1 clips without annotation left alone",
        "test: 6 of 6 clips have sound; 3 plain and 2 prefixed twins chosen",
        "videos: 12 hard links; 0 clips were done before this run",
    ]
    assert [line.split(":")[0] for line in fault_lines(prepared)] == [
        "train/dia0_utt2",
        "train/dia1_utt0",
        "train/dia1_utt1",
        "train/dia7_utt7",
    ]
    log = (out / "prepare.log").read_text().splitlines()
    assert "fault train/dia1_utt0: sound: no sound track (train_splits/dia1_utt0.mp4)" in log
    assert "fault train/dia7_utt7: no clip in the archive" in log
    assert "unannotated dev_splits_complete/dia0_utt9.mp4" in log
    assert sum(line.startswith("choice test/") for line in log) == 5


@pytest.mark.parametrize(
    ("utterance", "prefixed", "decision"),
    [
        (0, True, "prefixed: its length is closer (plain 3.00 s, prefixed 1.08 s, by the CSV file 1.00 s)"),
        (1, False, "plain: its length is closer (plain 1.04 s, prefixed 2.40 s, by the CSV file 1.00 s)"),
        (2, False, "plain: the prefixed twin cannot be used (cannot be decoded: "),
        (3, False, "plain: the CSV file has no usable times"),
        (4, True, "equally close"),
        (5, True, "only one, and it has the prefix"),
    ],
)
def test_the_twin_that_is_taken(done, archive, utterance, prefixed, decision):
    out, prepared = done
    entry = prepared.manifest.entries[f"test/dia0_utt{utterance}"]
    name = f"{'final_videos_test' * prefixed}dia0_utt{utterance}.mp4"
    assert entry.source == f"{TEST}/{name}" and decision in entry.decision
    assert (out / f"videos/test/dia0_utt{utterance}.mp4").samefile(archive / TEST / name)
    if utterance == 4:
        assert entry.decision.endswith("but dia0_utt4.mp4 gives no sound, so the other one")
        assert (out / "audios/test/dia0_utt4.flac").is_file()


def test_the_manifest_says_what_is_there(done):
    out, prepared = done
    read = read_manifest(out)
    assert read == prepared.manifest and len(read.entries) == 13
    for name, entry in read.entries.items():
        split, stem = name.split("/")
        if entry.audio:
            path = out / f"audios/{split}/{stem}.flac"
            assert (entry.audio.bytes, entry.audio.sha256) == (path.stat().st_size, sha256_file(path))
            assert entry.audio.samples == soundfile.info(path).frames
        if entry.video:
            assert entry.video.sha256 == sha256_file(out / f"videos/{split}/{stem}.mp4")


def test_a_second_run_does_nothing_again(archive, tmp_path):
    run(archive, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.flac")}
    content = tree(tmp_path / "out")
    prepared = run(archive, tmp_path / "out")
    assert prepared.kept == 12  # all but the one without a clip
    assert {path: path.stat().st_mtime_ns for path in before} == before and tree(tmp_path / "out") == content


def test_what_is_lost_or_changed_is_made_again(archive, tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    shutil.copytree(archive, raw)
    run(raw, out, link="copy")
    (out / "audios/train/dia0_utt0.flac").unlink()
    (out / "videos/train/dia0_utt1.mp4").write_bytes(b"cut")
    write_video(raw / "dev_splits_complete/dia0_utt0.mp4", 20)
    write_video(raw / "train_splits/dia1_utt0.mp4", 25)  # has sound now
    (raw / "train_splits/dia0_utt2.mp4").unlink()
    prepared = run(raw, out, link="copy")
    assert prepared.kept == 12 - 5
    assert (out / "audios/train/dia0_utt0.flac").is_file() and (out / "audios/train/dia1_utt0.flac").is_file()
    assert sha256_file(out / "videos/train/dia0_utt1.mp4") == sha256_file(raw / "train_splits/dia0_utt1.mp4")
    assert soundfile.info(out / "audios/dev/dia0_utt0.flac").duration == pytest.approx(0.8, abs=0.03)
    assert not (out / "videos/train/dia0_utt2.mp4").exists()


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_an_interrupted_run_is_continued_to_the_same_result(archive, done, tmp_path, fault):
    def stop(finished: int, total: int) -> None:
        if finished == 4:
            raise fault

    out = tmp_path / "out"
    with pytest.raises(type(fault) if isinstance(fault, Exception) else fault):
        run(archive, out, workers=1, progress=stop)
    assert 4 <= len(read_manifest(out).entries) < 13
    assert run(archive, out).kept >= 3
    assert tree(out) == tree(done[0])


def test_a_run_killed_outright_is_continued_to_the_same_result(archive, done, tmp_path):
    out = tmp_path / "out"
    run(archive, out)
    manifest = read_manifest(out)  # as it was saved last before the kill
    manifest.entries = dict(list(manifest.entries.items())[:3])
    manifest.write(out)
    (out / "prepare.log").unlink()
    (out / "audios/train/.dia0_utt1.flac.01234567.tmp").write_bytes(b"half")
    run(archive, out)
    assert tree(out) == tree(done[0])


def test_sigkill(archive, done, tmp_path):
    """A real process, killed at a moment nobody chose."""
    import signal
    import subprocess
    import sys

    out = tmp_path / "out"
    command = [sys.executable, "-m", "mer.data", "prepare", archive, "--out", out, "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(out.glob("audios/train/*.flac")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run(archive, out)
    assert tree(out) == tree(done[0])


def test_ways_to_put_a_video(archive, tmp_path):
    out = tmp_path / "out"
    run(archive, out, link="symbolic")
    target = out / "videos/train/dia0_utt0.mp4"
    assert target.is_symlink() and not target.readlink().is_absolute()
    assert target.samefile(archive / "train_splits/dia0_utt0.mp4")
    run(archive, out, link="copy")
    assert not target.is_symlink() and not target.samefile(archive / "train_splits/dia0_utt0.mp4")
    run(archive, out, link="hard")
    assert not target.is_symlink() and target.samefile(archive / "train_splits/dia0_utt0.mp4")
    assert place(archive / "train_splits/dia0_utt0.mp4", target, "auto") == "hard"  # onto itself
    assert [path.name for path in target.parent.iterdir() if path.name.startswith(".")] == []


def test_auto_copies_where_no_hard_link_can_be(archive, tmp_path, monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    source, target = archive / "train_splits/dia0_utt0.mp4", tmp_path / "v" / "a.mp4"
    assert place(source, target, "auto") == "copy"
    assert sha256_file(target) == sha256_file(source)
    with pytest.raises(MerError, match="Invalid cross-device link") as raised:
        place(source, target, "hard")
    assert "--link copy" in raised.value.message


@pytest.mark.parametrize("inside", ["MELD.Raw/{folder}", "{split}/{folder}", "MELD.Raw/{split}/{folder}"])
def test_the_folders_are_found_where_unpacking_leaves_them(archive, tmp_path, inside):
    for split, folder in {"train": "train_splits", "dev": "dev_splits_complete", "test": TEST}.items():
        place = tmp_path / "raw" / inside.format(split=split, folder=folder)
        place.mkdir(parents=True)
        shutil.copy(archive / "dev_splits_complete/dia0_utt0.mp4", place)
        csv = place.parent if split != "dev" else place
        (csv / f"{split}_sent_emo.csv").write_text(meld_csv(row(0, 0)))
    prepared = run(tmp_path / "raw", tmp_path / "out")
    assert list(prepared.asked) == ["train", "dev", "test"]
    assert all(entry.audio is not None for entry in prepared.manifest.entries.values())


def test_csv_files_of_the_output_folder_win_and_missing_splits_are_said(archive, tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    shutil.copytree(archive / "dev_splits_complete", raw / "dev_splits_complete")
    (raw / "dev_sent_emo.csv").write_text(meld_csv(row(5, 5)))
    (raw / "train_splits").mkdir()
    out.mkdir()
    (out / "dev_sent_emo.csv").write_text(meld_csv(row(0, 0)))
    (out / "test_sent_emo.csv").write_text(meld_csv(row(0, 0)))
    prepared = run(raw, out)
    assert list(prepared.manifest.entries) == ["dev/dia0_utt0"]
    assert prepared.left_out == {"train": "no train_sent_emo.csv", "test": "no folder of clips"}
    assert "train: not prepared, no train_sent_emo.csv" in summary_lines(prepared)


def test_what_is_missing_is_one_message(tmp_path):
    def message(raw: Path, out: Path) -> str:
        with pytest.raises(MerError) as raised:
            run(raw, out)
        return raised.value.message

    raw, out = tmp_path / "raw", tmp_path / "out"
    assert message(raw, out).startswith(f"{raw}: there is no such folder")
    (raw / "MELD.Raw").mkdir(parents=True)
    found = message(raw, out)
    assert (
        f"{raw}: no clips: looked for the folders train_splits, dev_splits_complete, {TEST} here, in MELD.Raw/" in found
    )
    (raw / "MELD.Raw/train.tar.gz").write_bytes(b"")
    assert message(raw, out).endswith("next: unpack train.tar.gz first")
    assert not out.exists()
    (raw / "train_splits").mkdir()
    found = message(raw, out)
    assert f"no train_sent_emo.csv here, nor in {raw}" in found
    assert f"next: `python -m mer.data get meld --root {out}`" in found


def test_clips_from_elsewhere_are_not_overwritten(archive, tmp_path):
    (tmp_path / "audios").mkdir()
    with pytest.raises(MerError, match=r"audios/ here were not made from .*; they are not overwritten"):
        run(archive, tmp_path)
    (tmp_path / "audios").rmdir()
    (tmp_path / MANIFEST).write_text('{"made_by": "someone"}')
    with pytest.raises(MerError, match=r"not a manifest that `python -m mer\.data prepare` wrote"):
        run(archive, tmp_path)


def test_two_runs_at_once_do_not_mix(archive, tmp_path):
    def second(finished: int, total: int) -> None:
        with pytest.raises(MerError, match=r"another `python -m mer\.data prepare` is at work"):
            run(archive, tmp_path)

    run(archive, tmp_path, progress=second)


def test_a_disk_that_refuses_is_one_message(archive, tmp_path, typed, monkeypatch):
    import mer.data.prepare.from_archive as module

    def refuse(path, samples, *, mode):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(module, "write_flac", refuse)
    code, _, err = typed("prepare", archive, "--out", tmp_path / "out")
    assert code == 2 and err.count("error:") == 1 and "No space left on device" in err and "Traceback" not in err
    monkeypatch.undo()
    assert run(archive, tmp_path / "out").manifest.entries["train/dia0_utt0"].audio is not None
    code, _, err = typed("prepare", archive, "--out", archive / "train_sent_emo.csv")
    assert code == 2 and "this is a file" in err


def test_the_command_prints_a_summary_and_succeeds_with_bad_clips(archive, tmp_path, typed):
    code, out, err = typed("prepare", archive, "--out", tmp_path / "out", "--link", "copy")
    assert code == 0
    assert "train: 2 of 6 clips have sound; 1 not in the archive" in out and "videos: 12 copies" in out
    assert f"next: python -m mer.data check {tmp_path / 'out'}" in out
    assert f"4 clips cannot be used in full, listed in {tmp_path / 'out' / 'prepare.log'}:" in err
    assert "  train/dia1_utt0: no sound track" in err
