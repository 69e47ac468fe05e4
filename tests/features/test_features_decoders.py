"""Language models that read from left to right as text encoders: no token for padding, tied weights, the last token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from text_backbones import LINES

from mer.config import DataConfig
from mer.data import Dialogue, load_corpus
from mer.errors import MerError
from mer.features import describe_backbone, ensure_features, load_features
from mer.features.from_text.live import LiveTexts
from mer.features.modalities import locate
from mer.predictor.answers import as_dialogue

DECODERS = ("gpt2", "llama")


def literal(folder: Path, texts: list[str], pooler: str) -> np.ndarray:
    """One text at a time, without padding, by the tokenizer and the model of transformers: (N, L, D)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        with torch.inference_mode():
            states = torch.stack(model(torch.tensor([ids]), output_hidden_states=True).hidden_states)[:, 0]
        rows.append((states[:, -1] if pooler == "last" else states.mean(dim=1)).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("pooler", ["last", "mean"])
@pytest.mark.parametrize("family", DECODERS)
def test_rows_equal_the_plain_way(
    family: str, pooler: str, data: DataConfig, encoder_config: Any, backbone: Any, tmp_path: Path
) -> None:
    config = encoder_config(family, pooler=pooler)
    assert (describe_backbone(config).layers, describe_backbone(config).width) == (3, 32)
    table = load_features(ensure_features(data, config, ["dev"], cache=tmp_path, progress=False).paths["dev"])
    expected = literal(backbone(family), LINES, pooler)
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(table.features, expected, atol=2e-3 * max(1.0, float(np.abs(expected).max())))
    assert table.label_text["emotion"].shape == (7, 3, 32)


@pytest.mark.parametrize("family", DECODERS)
def test_padding_and_its_side_change_nothing(family: str, encoder_config: Any, backbone: Any, tmp_path: Path) -> None:
    """Short and long texts in one batch: the short ones are padded, with a token that has another meaning."""
    config = encoder_config(family, pooler="last")
    live = LiveTexts(config, locate(config, weights=True))
    dialogues = [as_dialogue([("Ross", text)], name=text) for text in LINES]
    together = live.encode(dialogues, batch_tokens=100_000).features_NLD
    alone = np.concatenate([live.encode([one]).features_NLD for one in dialogues])
    np.testing.assert_allclose(together.astype(np.float32), alone.astype(np.float32), atol=4e-3, rtol=2e-3)
    assert not json.loads((backbone(family) / "tokenizer_config.json").read_text()).get("pad_token")


@pytest.mark.parametrize("family", DECODERS)
def test_tied_weights_are_whole(family: str, backbone: Any) -> None:
    from safetensors import safe_open

    with safe_open(backbone(family) / "model.safetensors", framework="np") as file:
        names = list(file.keys())
    assert names and not any(name.endswith("lm_head.weight") for name in names), "saved once, as they are tied"


@pytest.mark.parametrize("pooler", ["last", "mean", "first", "target"])
@pytest.mark.parametrize("family", DECODERS)
def test_an_empty_turn_is_one_token(family: str, pooler: str, encoder_config: Any) -> None:
    """GPT-2's tokenizer puts nothing around a text, so that nothing at all would be left of an empty one."""
    config = encoder_config(family, pooler=pooler)
    (spoken,) = as_dialogue([("Ross", "Hi!")], name="x").utterances
    silent = Dialogue("x", (spoken.changed(text=""),))
    live = LiveTexts(config, locate(config, weights=True)).encode([silent])
    assert live.features_NLD.shape == (1, 3, 32) and np.isfinite(live.features_NLD).all()


def test_a_prompt_needs_a_mask(data: DataConfig, encoder_config: Any, tmp_path: Path) -> None:
    with pytest.raises(MerError, match="no mask token"):
        ensure_features(data, encoder_config("gpt2", prompt=True), ["dev"], cache=tmp_path, progress=False)


def test_the_last_token_has_read_the_whole_window(data: DataConfig, encoder_config: Any, tmp_path: Path) -> None:
    paths = [
        ensure_features(
            data, encoder_config("llama", pooler="last", past=past), ["dev"], cache=tmp_path, progress=False
        )
        for past in (0, 2)
    ]
    alone, after = (load_features(done.paths["dev"]).features for done in paths)
    corpus = load_corpus("meld", data.root, splits=("dev",))
    first = [row for row, one in enumerate(corpus.utterances("dev")) if one.number == 0]
    assert np.array_equal(alone[first], after[first]) and not np.array_equal(alone, after)
