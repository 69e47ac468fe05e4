"""`mer.data check` on clips: how many, how long, which are bad and why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from media_files import truncate, write_flac, write_video
from meld_files import meld_csv

from mer.data import load_corpus
from mer.data.check.in_clips import clip_findings
from mer.data.check.media import CheckedClip, MediaSummary, check_media
from mer.data.check.report import media_lines, next_step
from mer.data.prepare.from_archive import prepare


def summaries(root: Path, *, dataset: str = "meld", deep: bool = False) -> dict[str, MediaSummary]:
    corpus = load_corpus(
        dataset, root, [s for s in ("train", "dev") if s == "train" or (root / "dev_sent_emo.csv").exists()]
    )
    found = check_media(corpus, deep=deep, workers=2, progress=lambda done, total: None)
    return {f"{summary.split} {summary.modality}": summary for summary in found}


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    """Clips in order, absent, empty, cut off, damaged in the middle, over-long."""
    root = tmp_path_factory.mktemp("media")
    rows = [{"Dialogue_ID": 0, "Utterance_ID": number} for number in range(6)]
    (root / "train_sent_emo.csv").write_text(meld_csv(*rows))
    (root / "dev_sent_emo.csv").write_text(meld_csv({}))
    audios, videos = root / "audios/train", root / "videos/train"
    write_flac(audios / "dia0_utt0.flac", 1.0)
    write_flac(audios / "dia0_utt1.flac", 21.0)
    write_flac(audios / "dia0_utt2.flac", 2.0)
    (audios / "dia0_utt3.flac").write_bytes(b"")
    truncate(write_flac(audios / "dia0_utt4.flac", 2.0), 0.7)  # the header is whole
    write_flac(audios / "dia0_utt5.flac", 0.5, rate=44100, channels=2)
    write_video(videos / "dia0_utt0.mp4", 25)
    write_video(videos / "dia0_utt1.mp4", 50)
    truncate(write_video(videos / "dia0_utt2.mp4"), 0.6)
    truncate(write_video(videos / "dia0_utt3.mp4", 75, faststart=True), 0.5)
    (videos / "dia0_utt4.mp4").write_text("not a video")
    return root


def by_number(summary: MediaSummary) -> dict[int, CheckedClip]:
    return {int(clip.id[-1]): clip for clip in summary.clips}


def test_headers_are_counted(media):
    found = summaries(media)
    assert list(found) == ["train audio", "dev audio", "train video", "dev video"]
    audio, video = found["train audio"], found["train video"]
    assert [audio.count(state) for state in ("good", "absent", "unreadable")] == [5, 0, 1]
    assert (audio.over_long, audio.max_s) == (1, pytest.approx(21.0))
    assert audio.mean_s == pytest.approx((1 + 21 + 2 + 2 + 0.5) / 5, abs=0.001)
    assert [video.count(state) for state in ("good", "absent", "unreadable")] == [3, 1, 2]
    assert (by_number(audio)[3].words, by_number(video)[5].words) == ("0 bytes", "no such file")
    assert found["dev audio"].count("absent") == 1 and found["dev audio"].mean_s is None


def test_deep_finds_what_headers_hide(media):
    found = summaries(media, deep=True)
    audio, video = by_number(found["train audio"]), by_number(found["train video"])
    assert audio[4].state == "good" and audio[4].duration_s < 1.9 and "ends early" in audio[4].words
    assert "ends early" in video[3].words
    assert audio[0].words == video[0].words == "" and audio[1].duration_s == pytest.approx(21)


def test_bad_clips_are_listed_by_kind_with_their_reasons(media):
    found = [one for one in summaries(media, deep=True).values() if one.modality == "audio"]
    words = {finding.kind: finding.words for finding in clip_findings("meld", found, False)}
    assert list(words) == ["many clips", "absent", "unreadable", "other length", "remarks", "over-long"]
    assert words["unreadable"] == "audio that cannot be used: train 1 (train/dia0_utt3: 0 bytes)"
    assert words["absent"] == "audio absent: dev 1 (dev/dia0_utt0: no such file)"
    assert words["over-long"].endswith("only so much is read: train 1 (train/dia0_utt1: 21 s)")


def test_the_manifest_gives_reasons_and_spares_the_headers(tmp_path, monkeypatch):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_video(raw / "train_splits/dia0_utt0.mp4", 25)
    write_video(raw / "train_splits/dia0_utt1.mp4", 25, sound=False)
    rows = [{"Dialogue_ID": 0, "Utterance_ID": number} for number in range(3)]
    (raw / "train_sent_emo.csv").write_text(meld_csv(*rows))
    prepare(raw, out, workers=1, link="copy", progress=lambda done, total: None)
    with monkeypatch.context() as patch:
        patch.setattr("mer.data.media.audio.audio_length", None)  # not called: the sizes are those of the manifest
        patch.setattr("mer.data.media.demux.video_duration_s", None)
        found = summaries(out)
    audio, video = by_number(found["train audio"]), by_number(found["train video"])
    assert (audio[0].state, audio[0].duration_s) == ("good", pytest.approx(1.0, abs=0.03))
    assert (audio[1].state, audio[1].words) == ("absent", "no sound track")
    assert (audio[2].words, video[2].words) == ("no clip in the archive", "no clip in the archive")
    (out / "audios/train/dia0_utt0.flac").write_bytes(b"overwritten since")
    assert by_number(summaries(out)["train audio"])[0].state == "unreadable"
    (out / "manifest.json").write_text(json.dumps({"made_by": "someone"}))  # another program's: not our concern here
    assert by_number(summaries(out)["train audio"])[1].words == "no such file"


def test_a_path_that_leaves_the_root_is_not_opened(tmp_path):
    root = tmp_path / "root"
    write_flac(tmp_path / "03-01-01-01-01-01-01.flac")
    write_flac(root / "03-01-01-01-01-01-02.flac")
    (root / "metadata.csv").write_text("file\n../03-01-01-01-01-01-01.flac\n03-01-01-01-01-01-02.flac\n")
    (summary,) = summaries(root, dataset="ravdess").values()
    assert [clip.state for clip in summary.clips] == ["unreadable", "good"]
    assert "leaves the data folder" in summary.clips[0].words


def test_the_page(media, typed):
    code, out, err = typed("check", media)
    assert (code, err) == (1, "")  # half of the clips are bad
    lines = [" ".join(line.replace("│", " ").split()) for line in out.splitlines()]
    assert "train audio 6 of 6 1 0 ? 1 1 5.30 21.0" in lines
    assert "dev video 0 of 1 0 0 0" in lines
    assert any(line.startswith("only headers were read; --clips decodes every clip") for line in lines)
    assert lines[-1] == "next: mend what is marked wrong, then run the same command again"
    assert len(lines) < 75
    for option in ("--clips", "--deep"):
        code, out, _ = typed("check", media, option, "--splits", "train")
        assert code == 1 and "ends early" in out and "only headers" not in out


def test_a_text_only_root_says_so_and_what_would_change_that(tmp_path, typed):
    (tmp_path / "train_sent_emo.csv").write_text(meld_csv({}))
    code, out, _ = typed("check", tmp_path)
    assert code == 0 and "\nno audio, no video: text only\n" in out
    assert out.endswith(f"python -m mer.data prepare RAW --out {tmp_path}  (RAW: the unpacked archive)\n")
    assert "headers" not in out


def test_one_modality_alone_and_the_other_datasets(media, tmp_path, typed):
    shutil.copy(media / "train_sent_emo.csv", tmp_path)
    shutil.copytree(media / "audios", tmp_path / "audios")
    found = list(summaries(tmp_path).values())
    assert [summary.modality for summary in found] == ["audio"] and media_lines(found, decoded=True)[-1] == "no video"
    assert next_step("ravdess", Path("/a b"), found, ("train",)) == (
        "next: python -m mer.tune search_spaces/audio.yaml --set data.dataset=ravdess --set 'data.root=/a b'"
    )
    assert "ce.yaml --set data.dataset=emorynlp" in next_step("emorynlp", tmp_path, [], ("train",))


@pytest.mark.real
def test_the_real_ravdess(real_data, typed):
    code, out, _ = typed("check", real_data("ravdess"), "--dataset", "ravdess")
    lines = [" ".join(line.replace("│", " ").split()) for line in out.splitlines()]
    assert code == 0 and any(line.startswith("train audio 959 of 959 0 0 ? 0 0 3.66") for line in lines)
    assert "no video" in lines
