"""Speech models by name: their language, other names for the same weights, checkpoints to be converted first."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from transcribe_lab import CPU, StandIn, put_library, refusal, root, run

import mer.data.__main__ as commands
from mer.data.transcribe.speech_models import known_name, spoken_by

__all__ = ["root", "run"]
BELLE = "BELLE-2/Belle-whisper-large-v3-zh"


@pytest.mark.parametrize(
    ("model", "language"),
    [
        ("distil-large-v3", "en"),
        ("distil-large-v3.5", "en"),
        ("distil-whisper/distil-large-v3.5-ct2", "en"),
        ("Systran/faster-distil-whisper-large-v3", "en"),
        ("small.en", "en"),
        ("models/faster-whisper-small.en/", "en"),
        (BELLE, "zh"),
        ("BELLE-2/Belle-distilwhisper-large-v2-zh", "zh"),
        ("/models/Belle-whisper-large-v3-turbo-zh-ct2", "zh"),
        ("large-v3", None),
        ("turbo", None),
        ("primeline/distil-whisper-large-v3-german", None),
        ("openai/whisper-small", None),
        ("models/zhou", None),
    ],
)
def test_a_name_tells_the_one_language_of_a_model(model: str, language: str | None) -> None:
    assert spoken_by(model) == language


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("openai/whisper-large-v3", "large-v3"),
        ("openai/whisper-small.en", "small.en"),
        ("distil-whisper/distil-large-v3", "distil-large-v3"),
        ("distil-whisper/distil-small.en", "distil-small.en"),
        ("distil-whisper/distil-large-v3.5-ct2", "distil-whisper/distil-large-v3.5-ct2"),
        ("Systran/faster-whisper-small", "Systran/faster-whisper-small"),
    ],
)
def test_checkpoints_that_the_library_has_converted_go_by_its_names(model: str, name: str, run, monkeypatch) -> None:
    assert known_name(model) == name
    built = []
    put_library(monkeypatch, lambda *words, **options: built.append(words[0]) or StandIn())
    run(model=None, recogniser=replace(CPU, model=model))
    assert built == [name]


def test_another_language_than_the_models_is_refused(run) -> None:
    assert refusal(lambda: run(recogniser=replace(CPU, language="zh"))) == (
        "--language zh: distil-large-v3 understands en alone, by its name\n  next: --language en, or another model"
    )
    assert "understands zh alone" in refusal(lambda: run(recogniser=replace(CPU, model="models/Belle-zh-ct2")))


def test_a_checkpoint_of_transformers_is_refused_with_what_converts_it(run, tmp_path: Path) -> None:
    said = refusal(lambda: run(recogniser=replace(CPU, model=BELLE, language="zh")))
    assert said == (
        f"--model {BELLE}: is a checkpoint of transformers; faster-whisper reads CTranslate2 models\n"
        f"  next: ct2-transformers-converter --model {BELLE} --output_dir Belle-whisper-large-v3-zh-ct2 "
        "--quantization int8 --copy_files tokenizer.json preprocessor_config.json\n"
        "  and then name what it wrote: --model Belle-whisper-large-v3-zh-ct2"
    )
    (folder := tmp_path / "my whisper").mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    said = refusal(lambda: run(recogniser=replace(CPU, model=str(folder))))
    assert f"--model '{folder}' --output_dir 'my whisper-ct2'" in said and not (tmp_path / "out").exists()
    (folder / "model.bin").touch()
    run(recogniser=replace(CPU, model=str(folder)))


def test_the_command_takes_the_language_from_the_name(root, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    put_library(monkeypatch, lambda *_, **__: StandIn())
    (tmp_path / "Belle-zh").mkdir()
    for model, language in (("Belle-zh", "zh"), ("large-v3", "en")):
        words = ["transcribe", str(root), "--out", f"out-{language}", "--splits", "dev", "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", ["python -m mer.data", *words, "--model", model])
        with pytest.raises(SystemExit) as end:
            commands.main()
        assert not end.value.code, capsys.readouterr().err
        assert (
            json.loads(Path(f"out-{language}/transcripts.json").read_text(encoding="utf-8"))["options"]["language"]
            == language
        )
