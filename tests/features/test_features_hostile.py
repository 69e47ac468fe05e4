"""Backbones and caches that somebody else made: no code, no pickles, no way out, nothing that hangs or fills memory."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from mer.config import TextEncoderConfig
from mer.errors import MerError
from mer.features.backbone.content import index_names, model_config
from mer.features.backbone.files import locate
from mer.features.backbone.hash_memo import HashMemo
from mer.features.cache.feature_file import load_features
from mer.features.cache.upkeep import entries, verify
from mer.features.text.coverage import corpus_coverage
from mer.features.text.pretrained import turn_tokenizer
from mer.features.text.turn_tokenizer import LONGEST_TEXT, readable

WRITTEN = Path(__file__).resolve().parents[1] / "written_before"
DEV = "meld/text/backbone/dev-712da06b0a6a.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WRITTEN / "backbone", tmp_path / "backbone"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WRITTEN / "encoded", tmp_path / "encoded"))


def located(folder: Path) -> str:
    with pytest.raises(MerError) as caught:
        locate(TextEncoderConfig(backbone=str(folder)), weights=True)
    return caught.value.message


@pytest.mark.parametrize("named", ["evil.bin", "../out.safetensors", "/etc/x.safetensors", ".x.safetensors", 5, None])
def test_an_index_names_safetensors_beside_it_only(folder, named):
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": named}}))
    assert "names of .safetensors files beside it" in located(folder)
    index.write_text(json.dumps({"weight_map": {"a": "weights.safetensors"}}))
    assert index_names(index) == ["weights.safetensors"]
    locate(TextEncoderConfig(backbone=str(folder)), weights=True)


def test_adapters_are_not_loaded_beside_it(folder):
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "../other"}')
    assert "the folder holds adapters" in located(folder)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("num_hidden_layers", 10**7, "num_hidden_layers is 10000000\n  allowed: a whole number, 1 to 1000"),
        ("hidden_size", -1, "hidden_size is -1"), ("vocab_size", True, "vocab_size is true"),
        ("max_position_embeddings", "32", "max_position_embeddings is '32'"), ("pad_token_id", 10**12, "at most"),
        ("vision_config", {"hidden_size": 10**9}, "hidden_size is 1000000000"),
    ],
)  # fmt: skip
def test_sizes_that_no_encoder_has(folder, key, value, words):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(MerError) as caught:
        model_config(path)
    assert words in caught.value.message


@pytest.mark.parametrize("limit", [0, -1, "x", float("nan"), True])
def test_a_tokenizer_says_a_sensible_limit(folder, limit):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": limit}))
    config = TextEncoderConfig(backbone=str(folder))
    with pytest.raises(MerError, match="model_max_length is"):
        turn_tokenizer(locate(config, weights=True), config)


def test_a_tokenizer_of_100_mb_is_not_read(folder):
    with (folder / "tokenizer.json").open("ab") as file:
        file.truncate(100_000_000)
    assert "has 100000000 bytes" in located(folder)


def test_a_text_of_10_mb_is_cut_before_it_is_tokenised(folder):
    from mer.data.types import Dialogue, Utterance

    config = TextEncoderConfig(backbone=str(folder))
    tokenizer = turn_tokenizer(locate(config, weights=True), config)
    words = "go away " * 1_250_000
    assert readable(words[:LONGEST_TEXT]) == words[:LONGEST_TEXT] and len(readable(words)) == LONGEST_TEXT + 1
    assert readable(words).startswith(words[:1000]) and readable(words).endswith(words[-1000:])
    dialogue = Dialogue("new/a", (Utterance("new", "a", 0, "Ross", words, "", None, None, None),))
    started = time.process_time()
    covered = corpus_coverage([dialogue], config)
    window: Any = type("Window", (), {"id": "a", "turns": (words,), "target": 0, "speaker": "Ross"})
    given = tokenizer.window(window)
    assert time.process_time() - started < 4.0
    assert covered.cut == 1 and covered.tokens < LONGEST_TEXT and tokenizer.is_cut(window)
    short: Any = type("Window", (), {"id": "a", "turns": (words[-4000:].strip(),), "target": 0, "speaker": "Ross"})
    assert given == tokenizer.window(short), "its end is read"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_pipe_in_the_cache_is_not_waited_for(cache, suffix):
    path = (cache / DEV).with_suffix(suffix)
    path.unlink()
    os.mkfifo(path)
    os.mkfifo(cache / "weights.json")
    HashMemo(cache / "weights.json")
    faults = {entry.path.name: entry.fault for entry in entries(cache)}
    assert (faults[Path(DEV).name] is not None) == (suffix == ".safetensors")
    found = dict(verify(cache))
    if suffix == ".safetensors":
        assert "not a file but a pipe" in str(found[path])
    else:
        assert set(found.values()) == {None} and load_features(cache / DEV).card["ingredients"]["modality"] == "text"


def test_a_sidecar_decides_nothing(cache):
    path = (cache / DEV).with_suffix(".json")
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "ingredients": {"modality": "audio"}, "label_names": {}, "seconds": 5}))
    found = load_features(cache / DEV).card
    assert found["ingredients"]["modality"] == "text" and found["label_names"]["emotion"] and found["seconds"] == 5
