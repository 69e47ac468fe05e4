"""Transcripts by faster-whisper itself, with a tiny Whisper that is made here and converted by CTranslate2."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from media_files import write_flac
from tiny_whisper import convert, save_whisper
from transcribe_lab import CPU, refusal, root, run, texts

from mer.data.media.audio import read_audio

__all__ = ["root", "run"]
pytestmark = pytest.mark.slow
pytest.importorskip("faster_whisper")
SAID = "Heard three, my dear."


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `plain`, `steered` of transformers, and the same with `-ct2` behind them."""
    place = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two libraries of others about each other
        for name, says in (("plain", ""), ("steered", SAID)):
            convert(save_whisper(place / name, says), place / f"{name}-ct2", patch)
    return place


def test_what_it_hears_is_the_text_of_the_new_folder(run, models: Path, tmp_path: Path) -> None:
    tiny = replace(CPU, model=str(models / "steered-ct2"), vad=False)
    tallies = run(model=None, recogniser=tiny)
    assert texts(tmp_path / "out") == [SAID] * 3 and texts(tmp_path / "out", "dev") == [SAID]
    tally = tallies["train"]
    assert (tally.transcribed, tally.unreadable, tally.empty) == (3, 0, 0)
    assert (tally.errors, tally.gold_words) == (2, 2)  # of "Heard three!": two words too many, none wrong
    marker = json.loads((tmp_path / "out/transcripts.json").read_text())
    assert all(marker["versions"].values()) and marker["model"].startswith("steered-ct2@")
    again = run(model=None, recogniser=tiny, out=tmp_path / "again")["train"]
    assert (again.from_cache, again.transcribed) == (3, 0)
    assert texts(tmp_path / "again") == [SAID] * 3


def test_its_voice_detector_finds_no_speech_in_tones(run, models: Path, tmp_path: Path) -> None:
    tally = run(model=None, recogniser=replace(CPU, model=str(models / "steered-ct2")))["train"]
    assert texts(tmp_path / "out") == ["", "", ""] and (tally.empty, tally.unreadable) == (3, 0)


def test_random_weights_are_repeatable_and_their_segments_are_the_librarys(run, root, models, tmp_path) -> None:
    from faster_whisper import WhisperModel

    plain = replace(CPU, model=str(models / "plain-ct2"), vad=False, compute_type="float32")
    write_flac(root / "audios/train/dia0_utt0.flac", 3.0)
    first, second = (
        (run(model=None, recogniser=plain, out=tmp_path / name, cache=tmp_path / f"{name}-cache"), name)[1]
        for name in ("one", "two")
    )
    assert texts(tmp_path / first) == texts(tmp_path / second)
    library = WhisperModel(str(models / "plain-ct2"), device="cpu", compute_type="float32")
    samples = read_audio(root / "audios/train/dia0_utt0.flac", max_seconds=20.0).samples
    segments, _ = library.transcribe(samples, **plain.decoding())
    kept = [one.text for one in segments if one.no_speech_prob <= 0.6 and one.compression_ratio <= 2.4]
    assert texts(tmp_path / first)[0] == " ".join(" ".join(kept).split())


def test_a_checkpoint_that_was_not_converted_is_refused_before_the_library_sees_it(run, models: Path) -> None:
    said = refusal(lambda: run(model=None, recogniser=replace(CPU, model=str(models / "plain"))))
    assert (
        "is a checkpoint of transformers" in said and f"ct2-transformers-converter --model {models / 'plain'}" in said
    )
