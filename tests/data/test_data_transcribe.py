"""Transcripts: a data folder in, the same folder with the words of its clips out. The model is a stand-in."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from media_files import truncate, write_flac, write_video
from meld_files import meld_csv
from transcribe_lab import CPU, Segment, StandIn, cells, put_library, root, run, texts

import mer.data.__main__ as commands
from mer.data.registry import load_corpus

__all__ = ["root", "run"]


def test_out_is_a_data_folder_that_differs_in_its_text_only(run, root, tmp_path):
    run()
    out = tmp_path / "out"
    assert texts(out) == ["heard 3", "heard 4", "heard 5"] and texts(out, "dev") == ["heard 6"]
    assert not (out / "test_sent_emo.csv").exists()
    source, written = cells(root / "train_sent_emo.csv"), cells(out / "train_sent_emo.csv")
    source[0][0] = source[0][0].removeprefix("\ufeff")
    assert [row[:1] + row[2:] for row in written] == [row[:1] + row[2:] for row in source]
    first = load_corpus("meld", out).utterances("train")[0]
    assert (out / first.audio).read_bytes() == (root / first.audio).read_bytes()
    # moved together, the two folders still belong together
    (moved := tmp_path / "moved").mkdir()
    root.rename(moved / "data"), out.rename(moved / "out")
    assert (moved / "out" / first.audio).is_file()


def test_model_is_given_the_samples_and_options_that_make_it_repeatable(run):
    model = StandIn()
    run(model=model)
    assert model.heard == [3, 4, 5, 6]
    assert model.options == {
        "language": "en",
        "beam_size": 5,
        "temperature": 0.0,
        "condition_on_previous_text": False,
        "vad_filter": True,
    }


def test_progress_counts_the_utterances_of_all_splits(run):
    told = []
    run(progress=lambda *step: told.append(step))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_segments_are_joined_and_hallucinations_dropped(run, tmp_path):
    says = {
        3: [Segment(" One,"), Segment("  two.\n"), Segment("Thanks for watching!", no_speech_prob=0.61)],
        4: [Segment("ha " * 50, compression_ratio=2.41), Segment("at the limits", 0.6, 2.4)],
        5: [],
        6: [Segment("   ")],
    }
    tallies = run(model=StandIn(says))
    assert texts(tmp_path / "out") == ["One, two.", "at the limits", ""] and texts(tmp_path / "out", "dev") == [""]
    assert (tallies["train"].transcribed, tallies["train"].empty, tallies["train"].unreadable) == (3, 1, 0)


def test_clip_is_cut_before_it_is_heard(run):
    model = StandIn()
    run(model=model, recogniser=replace(CPU, max_seconds=0.4))
    assert model.heard == [3, 4, 4, 4]


def test_only_missing_keeps_the_text_that_is_there(run, tmp_path):
    model = StandIn()
    tallies = run(model=model, only_missing=True)
    assert texts(tmp_path / "out") == ["Heard three!", "heard 4", "heard 5"] and model.heard == [4, 5]
    assert (tallies["train"].kept, tallies["dev"].kept) == (1, 1)
    assert tallies["train"].word_error_rate is None and "unknown, no gold text" in str(tallies["train"])


def test_clip_that_cannot_be_used_gives_empty_text_and_one_line(run, root, tmp_path, caplog):
    (root / "audios/train/dia0_utt0.flac").write_bytes(b"")
    (root / "audios/train/dia0_utt1.flac").unlink()
    with caplog.at_level(logging.WARNING):
        tally = run()["train"]
    assert texts(tmp_path / "out") == ["", "", "heard 5"]
    assert (tally.unreadable, tally.empty, tally.transcribed) == (2, 0, 1)
    assert [record.getMessage().split(": ")[0] for record in caplog.records] == [
        "train/dia0_utt0",
        "train/dia0_utt1",
    ]
    assert "videos/train/dia0_utt1.mp4: no such file" in caplog.text


def test_sound_track_of_the_video_stands_in_for_the_audio(run, root, tmp_path):
    (root / "audios/train/dia0_utt0.flac").unlink()
    write_video(root / "videos/train/dia0_utt0.mp4", 25)
    write_video(root / "videos/train/dia0_utt1.mp4", 50)  # its audio file goes first
    (root / "audios/train/dia0_utt3.flac").write_bytes(b"not sound")
    truncate(write_video(root / "videos/train/dia0_utt3.mp4", 25), 0.1)
    tally = run()["train"]
    assert texts(tmp_path / "out") == ["heard 10", "heard 4", ""] and tally.unreadable == 1
    assert run(model=None)["train"].from_cache == 2
    assert (tmp_path / "out/videos/train/dia0_utt0.mp4").is_file()


def test_earlier_splits_of_the_same_kind_stay_and_others_go(run, root, tmp_path):
    out = tmp_path / "out"
    run(splits=["train"])
    run(splits=["dev"])
    marker = json.loads((out / "transcripts.json").read_text())
    assert texts(out) and set(marker["splits"]) == {"train", "dev"} and marker["model"] == "distil-large-v3"
    assert marker["options"]["temperature"] == 0.0 and marker["splits"]["dev"]["transcribed"] == 1
    run(splits=["dev"], recogniser=replace(CPU, model="small.en"))
    assert sorted(path.name for path in out.iterdir()) == ["audios", "dev_sent_emo.csv", "transcripts.json"]


def test_test_split_is_read_when_it_is_named(run, root, tmp_path):
    (root / "test_sent_emo.csv").write_text(meld_csv({}))
    write_flac(root / "audios/test/dia0_utt0.flac", 0.7)
    run()
    assert not (tmp_path / "out/test_sent_emo.csv").exists()
    run(splits=["test"])
    assert texts(tmp_path / "out", "test") == ["heard 7"]


def test_command(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    put_library(monkeypatch, lambda *_, **__: StandIn())
    arguments = ["transcribe", str(root), "--out", "out", "--splits", "dev", "--device", "cpu", "--no-vad"]
    monkeypatch.setattr(sys, "argv", ["python -m mer.data", *arguments])
    with pytest.raises(SystemExit) as end:
        commands.main()
    assert not end.value.code
    assert capsys.readouterr().out == (
        "dev: 1 utterances: 0 from the cache, 1 transcribed, 0 unreadable; 0 of those heard are empty; "
        "word error rate 50.00% of 4 words\nwrote out\nnext: python -m mer.data check out\n"
    )
    assert json.loads(Path("out/transcripts.json").read_text(encoding="utf-8"))["options"]["vad_filter"] is False
    assert len(list(Path("transcripts").iterdir())) == 1
    arguments[3] = str(root)
    monkeypatch.setattr(sys, "argv", ["python -m mer.data", *arguments])
    with pytest.raises(SystemExit) as end:
        commands.main()
    assert end.value.code == 2 and "is the data folder itself" in capsys.readouterr().err


def test_importing_it_loads_no_heavy_library():
    heavy = "{'torch', 'soundfile', 'av', 'faster_whisper'}"
    code = f"import sys, mer.data.transcribe.corpus; sys.exit({heavy} & set(sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
