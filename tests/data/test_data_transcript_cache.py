"""The cache of transcripts: what a second run finds there, and what is never mistaken for one another."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from media_files import write_flac
from transcribe_lab import CPU, StandIn, refusal, root, run, texts

from mer.data.transcribe.recogniser import Recogniser
from mer.data.transcribe.transcript_cache import TranscriptCache

__all__ = ["root", "run"]


def test_second_run_transcribes_nothing_and_needs_no_model(run, root, tmp_path, monkeypatch):
    run()
    before = (tmp_path / "out/train_sent_emo.csv").read_bytes()
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    tallies = run(model=None, out=tmp_path / "elsewhere")
    assert (tallies["train"].from_cache, tallies["train"].transcribed) == (3, 0)
    assert (tmp_path / "elsewhere/train_sent_emo.csv").read_bytes() == before
    write_flac(root / "audios/train/dia0_utt1.flac", 0.9)  # other bytes under the old name
    assert (run().get("train").from_cache, texts(tmp_path / "out")[1]) == (2, "heard 9")


@pytest.mark.parametrize("torn", [b"", b'{"sha256": "5d', b'{"sha256": "aa", "text": "\xc3'])
def test_killed_run_goes_on_where_it_was(torn, run, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(model=StandIn(dies_at=2))
    assert not (tmp_path / "out/train_sent_emo.csv").exists()
    [file] = (tmp_path / "cache").iterdir()
    with file.open("ab") as stream:
        stream.write(torn)
    model = StandIn()
    tally = run(model=model)["train"]
    assert model.heard == [5, 6] and (tally.from_cache, tally.transcribed) == (2, 1)
    assert texts(tmp_path / "out") == ["heard 3", "heard 4", "heard 5"]
    assert run(model=None)["train"].from_cache == 3  # what came after the torn line is whole


@pytest.mark.parametrize(
    "change",
    [{"model": "small.en"}, {"vad": False}, {"compute_type": "float32"}, {"max_seconds": 5.0}],
    ids=str,
)
def test_cache_is_not_shared_between_models_or_options(change, run, tmp_path):
    run()
    model = StandIn()
    assert run(model=model, recogniser=replace(CPU, **change))["train"].from_cache == 0
    assert len(model.heard) == 4 and len(list((tmp_path / "cache").iterdir())) == 2


def test_local_model_is_known_by_its_files_not_by_its_path(tmp_path):
    (folder := tmp_path / "whisper").mkdir()
    (folder / "model.bin").write_bytes(b"one")
    before = Recogniser(model=str(folder)).identity()
    assert before == Recogniser(model=f"{folder}/").identity() and before["model"].startswith("whisper@")
    (folder / "model.bin").write_bytes(b"two")
    assert Recogniser(model=str(folder)).identity() != before


def test_cache_keeps_any_text(tmp_path):
    odd = 'line\u2028separator "quoted" \u0085 \U0001f600'
    TranscriptCache(tmp_path, {"model": "a/b"}).add("aa", odd)
    assert TranscriptCache(tmp_path, {"model": "a/b"}).get("aa") == odd
    assert TranscriptCache(tmp_path, {"model": "a.b"}).get("aa") is None


def test_failed_run_leaves_an_earlier_result_whole(run, tmp_path, monkeypatch):
    run()
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    refusal(lambda: run(model=None, recogniser=replace(CPU, model="small.en")))
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert len(before) == 3 and texts(tmp_path / "out") == ["heard 3", "heard 4", "heard 5"]


def test_model_that_fails_on_a_clip_loses_nothing(run):
    class Broken(StandIn):
        def transcribe(self, audio, **options):
            if len(self.heard) == 2:
                raise RuntimeError("CUDA failed with error out of memory")
            return super().transcribe(audio, **options)

    said = refusal(lambda: run(model=Broken()))
    assert "dia0_utt3.flac: the model 'distil-large-v3' failed on this clip: RuntimeError: CUDA failed" in said
    assert run()["train"].from_cache == 2


@pytest.mark.parametrize(("gpu", "compute_type"), [(False, "int8"), (True, "float16")])
def test_auto_is_resolved_before_it_is_a_key(gpu, compute_type, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    found = Recogniser().resolved()
    assert (found.device, found.compute_type) == ("cuda" if gpu else "cpu", compute_type)
    assert replace(found, device="cpu").identity() == found.identity()


def test_cache_is_not_shared_between_languages(run):
    large = replace(CPU, model="large-v3")
    run(recogniser=large)
    assert run(recogniser=replace(large, language="zh"))["train"].from_cache == 0
    assert run(recogniser=large, model=None)["train"].from_cache == 3
