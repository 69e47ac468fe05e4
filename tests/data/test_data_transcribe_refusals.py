"""What transcribing refuses: folders of others, data without clips, models that cannot be had."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
from transcribe_lab import CPU, StandIn, put_library, refusal, root, run

__all__ = ["root", "run"]


def test_nothing_of_others_is_overwritten(run, root, tmp_path):
    source = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    (tmp_path / "link").symlink_to(root)
    for same in (root, root / "audios" / "..", tmp_path / "link"):
        assert "is the data folder itself" in refusal(lambda same=same: run(out=same))
    (theirs := tmp_path / "theirs").mkdir()
    (theirs / "notes.txt").write_text("mine")
    for marker in ('["made_by"]', '{"made_by": "somebody"}', "{"):
        (theirs / "transcripts.json").write_text(marker)
        said = refusal(lambda: run(out=theirs))
        assert "did not write: notes.txt, transcripts.json" in said and "next: choose a new or an empty folder" in said
    assert "this is a file" in refusal(lambda: run(out=theirs / "notes.txt"))
    run()
    (tmp_path / "out/audios").unlink()
    (tmp_path / "out/audios").mkdir()
    assert "in the way of a link to the clips" in refusal(run)
    assert source == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_data_without_clips_are_refused_before_anything_is_written(run, root, tmp_path):
    (root / "audios").rename(tmp_path / "away")
    assert "none of the clips are here" in refusal(run) and not (tmp_path / "out").exists()
    (root / "emorynlp_dev_final.csv").write_text(
        "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time\n"
        "Hi,['Adira'],Neutral,1,1,1,1,,\n"
    )
    assert "say of no utterance where its clip is" in refusal(lambda: run(dataset="emorynlp", splits=["dev"]))


def test_faster_whisper_that_is_not_installed(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    assert refusal(lambda: run(model=None)) == ("faster-whisper: is not installed\n  next: pip install 'mer[asr]'")


@pytest.mark.parametrize("fault", [ValueError("Invalid model size"), RuntimeError(""), OSError("no route\nto host")])
def test_model_that_cannot_be_had(fault, run, monkeypatch):
    def build(*_: Any, **__: Any) -> None:
        raise fault

    put_library(monkeypatch, build)
    said = refusal(lambda: run(model=None))
    first = (str(fault).splitlines() or ["no message"])[0]
    assert said.startswith(
        f"--model distil-large-v3: cannot be loaded (device cpu, compute type int8): {type(fault).__name__}: {first}\n"
    )
    assert "--model FOLDER" in said


def test_model_is_built_once_as_asked(run, monkeypatch, tmp_path):
    built = []

    def build(*words: Any, **options: Any) -> StandIn:
        built.append((words, options))
        return StandIn()

    put_library(monkeypatch, build)
    run(model=None, recogniser=replace(CPU, compute_type="float32"))
    (tmp_path / "whisper").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    run(model=None, recogniser=replace(CPU, model="~/whisper"))
    assert built == [
        (("distil-large-v3",), {"device": "cpu", "compute_type": "float32"}),
        ((str(tmp_path / "whisper"),), {"device": "cpu", "compute_type": "int8"}),
    ]
