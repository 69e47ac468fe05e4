"""Caches written by earlier versions are found again: every key is what it was, bit for bit.

The expected names were computed by mer at 28e52bf, from the same corpus and the same backbones. A version number that
is raised on purpose (PREPROCESSING_VERSION, melstats.VERSION, ...) changes its lines here; nothing else may.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mer import model_outputs
from mer.config import AudioEncoderConfig, ContextConfig, DataConfig, TextEncoderConfig, VideoEncoderConfig
from mer.data import load_corpus
from mer.features.cache.feature_file import KEY_LENGTH, write_features
from mer.features.from_clips.pooled import ClipReading
from mer.features.from_clips.sequences import ClipSequenceReading
from mer.features.from_text.pooled import TextReading
from mer.features.from_text.sequences import TextSequenceReading

TURNS = (("Oh my God!", "surprise", "positive"), ("I know.", "neutral", "neutral"), ("Café?", "anger", "negative"))
COLUMNS = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime",
)  # fmt: skip
SIZES = {"hidden_size": 32, "num_hidden_layers": 4}
BACKBONES: dict[str, dict[str, Any]] = {
    "text": {"model_type": "roberta", **SIZES},
    "speech": {"model_type": "hubert", **SIZES},
    "pictures": {
        "model_type": "videomae", **SIZES, "num_frames": 4, "image_size": 32, "patch_size": 16, "tubelet_size": 2
    },
}  # fmt: skip


def _text(**options: Any) -> TextEncoderConfig:
    return TextEncoderConfig(backbone="text", **options)


def _speech(**options: Any) -> AudioEncoderConfig:
    return AudioEncoderConfig(backbone="speech", **options)


_LONG = ContextConfig(past="all", future=1, max_tokens=64)
KINDS: dict[str, tuple[Callable[..., Any], Any, str, str]] = {
    "text": (
        TextReading, _text(),
        "meld/text/text", "744e2f270e1a126c55254adc6f0419ea4b4a30f92d3600b1d9aee0a6ba15b2d3",
    ),
    "text with context and a prompt": (
        TextReading, _text(context=_LONG, speaker="name", prompt=True, pooler="mask", dtype="bfloat16"),
        "meld/text/text", "04e272621be0d86d04c4166e69a4f375cc504384817014e2479a695897c966e6",
    ),
    "melstats": (
        ClipReading, AudioEncoderConfig(),
        "meld/audio/melstats", "7fc2677cc463428c46c7f5e21dba7c61e983917702880b9c161411ed48864eaa",
    ),
    "framestats": (
        ClipReading, VideoEncoderConfig(),
        "meld/video/framestats", "133e3ff7ba3a8361d0ebc9101e6d0618405f52c2564585069e1f65d53ffe2b2a",
    ),
    "speech": (
        ClipReading, _speech(max_seconds=5.0),
        "meld/audio/speech", "b041bfd6efbd60bc5c4f176cea76b45715ca0f90f4d0e3e59c3f32ca235c53f7",
    ),
    "pictures": (
        ClipReading, VideoEncoderConfig(backbone="pictures"),
        "meld/video/pictures", "94ffc5cecec4c771aee36438ca400e371314804f843ca4a89a6431c0e2b04e1a",
    ),
    "token ids": (
        TextSequenceReading, _text(mode="lora"),
        "meld/tokens/text", "3f1e15d744c149841e1a54b4e648294591267d1f001f37183b357538798b3d78",
    ),
    "hidden states of texts": (
        TextSequenceReading, _text(mode="lora", freeze_layers=2),
        "meld/tokens/text", "0400406b95e49d86d8566f70194ee20240039990d11da4957821c82eddd5f4e0",
    ),
    "samples": (
        ClipSequenceReading, _speech(mode="lora", split_cache=False),
        "meld/tokens/speech", "3ea0765340a6539c5d0eba4c9aae0b778feba3512aab3ab9c93b0728124eec32",
    ),
    "hidden states of sound": (
        ClipSequenceReading, _speech(mode="full", freeze_layers=1),
        "meld/tokens/speech", "c5ea40af2220aaca6596371e2d0d8daf81a756fc1aae6589a01a395ad3fe35b9",
    ),
    "pixels": (
        ClipSequenceReading, VideoEncoderConfig(backbone="pictures", mode="lora", split_cache=False),
        "meld/tokens/pictures", "aaac8b6e5587d90f5dfe9ea33fcc94a62589351a088272048f99aabf5c65cd16",
    ),
}  # fmt: skip
OUTPUTS_FOLDER = "meld/model/export-abababab"
OUTPUTS_KEY = "1f40d86e08116449f7edb650f8e3513c5815204cce4c1003b18275e8d4598b08"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a corpus whose clips are only bytes, and backbones without a single weight."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    with (corpus / "dev_sent_emo.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for row, (text, emotion, sentiment) in enumerate(TURNS):
            at = divmod(row, 2)
            writer.writerow([row + 1, text, "Ross", emotion, sentiment, *at, "00:00:01,000", "00:00:02,000"])
            for folder, suffix in (("audios", "flac"), ("videos", "mp4")):
                clip = corpus / folder / "dev" / f"dia{at[0]}_utt{at[1]}.{suffix}"
                clip.parent.mkdir(parents=True, exist_ok=True)
                clip.write_text(f"{folder} {at[0]} {at[1]}")
    for name, config in BACKBONES.items():
        (tmp_path / name).mkdir()
        files = {"config.json": json.dumps(config), "model.safetensors": "weights"}
        for file, text in {**files, "tokenizer.json": "{}", "preprocessor_config.json": "{}"}.items():
            (tmp_path / name / file).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _prepared(reading: Any, cache: Path) -> Any:
    data = DataConfig(root="corpus")
    return reading.prepare(load_corpus("meld", data.root, splits=("dev",)), data, "dev", cache)


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_of_an_earlier_version_is_found(kind: str, place: Path) -> None:
    reading, config, folder, key = KINDS[kind]
    item = _prepared(reading(config, place / "cache"), place / "cache")
    assert item.key == key
    assert item.path == place / "cache" / folder / f"dev-{key[:KEY_LENGTH]}.safetensors"


def test_the_outputs_of_a_model_of_an_earlier_version_are_found(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = _prepared(TextReading(_text(), place / "cache"), place / "cache")
    write_features(
        read.path,
        ingredients=read.ingredients,
        features=np.zeros((3, 5, 32), np.float16),
        ids=read.ids,
        labels=read.labels,
        label_names=read.label_names,
        label_text={task: np.zeros((len(names), 5, 32)) for task, names in read.label_names.items()},
        circumstances={},
    )
    (place / "export").mkdir()
    (place / "export" / "config.json").write_text("{}")
    (place / "export" / "MANIFEST.json").write_text(json.dumps({"sha256": {"model.safetensors": "ab" * 32}}))
    monkeypatch.setattr(model_outputs, "own_features", lambda *_, **__: {"text": read.path})
    monkeypatch.setattr(model_outputs, "torch", SimpleNamespace(__version__="2.13.0+cpu"))
    export: Any = SimpleNamespace(folder=Path("export"), class_names=("joy", "anger"))
    item = _prepared(model_outputs.ModelReading(export, DataConfig(root="corpus")), place / "cache")
    assert item.key == OUTPUTS_KEY
    assert item.path == place / "cache" / OUTPUTS_FOLDER / f"dev-{OUTPUTS_KEY[:KEY_LENGTH]}.safetensors"
