from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.config import DataConfig
from mer.data import load_corpus, windows
from mer.errors import MerError
from mer.features import ensure_features, load_features
from mer.features.cache import shards as extraction
from mer.features.cache.shards import plan_batches, plan_shards
from mer.features.from_text.pooled import extract
from mer.features.text.turn_tokenizer import TokenInput

FAMILIES = ["roberta", "bert", "mpnet", "deberta", "modernbert"]


def live(folder: Path, root: str, *, past: int, prompt: bool, pooler: str) -> np.ndarray:
    """The same features the plain way: transformers, one text at a time, spans found by character offsets."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    rows = []
    for window in windows(load_corpus("meld", root, ["dev"]).splits["dev"], past=past, future=0, speaker="none"):
        text = " ".join(window.turns)
        first, last = len(" ".join(window.turns[:-1])), len(text)
        ids = tokenizer(text)["input_ids"]
        offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        span = [i for i, (a, b) in enumerate(offsets) if b > a and b > first and a < last]
        if prompt:
            ids += tokenizer(f"Now {window.speaker} feels", add_special_tokens=False)["input_ids"]
            ids += [tokenizer.mask_token_id, tokenizer.sep_token_id]
        at = {"mean": list(range(len(ids))), "target": span, "first": [0]}.get(pooler)
        at = at or [ids.index(tokenizer.mask_token_id)]
        with torch.inference_mode():
            out = model(torch.tensor([ids]), output_hidden_states=True)
        states = torch.stack([*out.hidden_states[:-1], out.last_hidden_state])[:, 0]
        rows.append(states[:, at].mean(dim=1).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("family", FAMILIES)
def test_cached_equals_live_for_every_pooler(
    family: str, data: DataConfig, encoder_config: Any, backbone: Any, tmp_path: Path
) -> None:
    for pooler in ("mean", "target", "mask", "first"):
        prompt, past = pooler == "mask", 0 if pooler == "mean" else 1
        config = encoder_config(family, pooler=pooler, prompt=prompt, past=past)
        path = ensure_features(data, config, ["dev"], cache=tmp_path, progress=False).paths["dev"]
        cached = load_features(path).features.astype(np.float32)
        expected = live(backbone(family), data.root, past=past, prompt=prompt, pooler=pooler)
        scale = max(1.0, float(np.abs(expected).max()))
        assert float(np.abs(expected).max()) > 0.05, "a model that says nothing would pass anything"
        np.testing.assert_allclose(cached, expected, atol=1e-3 * scale, err_msg=pooler)


@pytest.mark.parametrize("tokens_per_batch", [1, 64, 100_000])
def test_batching_changes_nothing(
    tokens_per_batch: int, data: DataConfig, encoder_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "TOKENS_PER_BATCH", tokens_per_batch)
    path = ensure_features(data, encoder_config(past=2), ["dev"], cache=tmp_path / "a", progress=False).paths["dev"]
    monkeypatch.setattr(extraction, "TOKENS_PER_BATCH", 300)
    other = ensure_features(data, encoder_config(past=2), ["dev"], cache=tmp_path / "b", progress=False).paths["dev"]
    a, b = load_features(path), load_features(other)
    assert a.key == b.key and a.ids == b.ids
    np.testing.assert_allclose(a.features.astype(np.float32), b.features.astype(np.float32), atol=4e-3, rtol=1e-3)


def test_duplicates_are_encoded_once(data: DataConfig, encoder_config: Any, tmp_path: Path) -> None:
    done = ensure_features(data, encoder_config(), ["train", "dev"], cache=tmp_path, progress=False)
    train, dev = (load_features(done.paths[split]) for split in ("train", "dev"))
    assert done.encoded == 14 + 14, "16 lines, 'I know.' and 'Hi!' twice; train says them all twice"
    np.testing.assert_array_equal(train.features[:16], train.features[16:])
    np.testing.assert_array_equal(dev.features[2], dev.features[6])


def test_plans() -> None:
    lengths = [5, 3, 9, 3, 1, 9]
    batches = plan_batches(lengths, 10)
    assert [i for batch in batches for i in batch] == [4, 1, 3, 0, 2, 5]
    assert all(len(batch) * max(lengths[i] for i in batch) <= 10 for batch in batches)
    assert plan_batches([50], 10) == [[0]], "one input longer than the budget is a batch of its own"
    assert plan_shards([[1, 2], [3], [4]], 2) == [[[1, 2]], [[3], [4]]]
    assert plan_shards([], 2) == []


def _inputs(count: int) -> list[TokenInput]:
    return [TokenInput(tuple(range(i + 1)), 0, 1) for i in range(count)]


def _values(batch: Any) -> np.ndarray:
    return np.array([[[len(item.ids)]] for item in batch], dtype=np.float32)


def test_a_value_beyond_float16_widens_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "SHARD_ROWS", 1)
    monkeypatch.setattr(extraction, "TOKENS_PER_BATCH", 1)
    block, _ = extract(_inputs(3), lambda b: _values(b) * 30_000, parts=tmp_path / "p", key="k", step=lambda *_: None)
    assert block.dtype == np.float32
    np.testing.assert_array_equal(block[:, 0, 0], [30_000, 60_000, 90_000])


def test_nan_is_refused_with_its_layer(tmp_path: Path) -> None:
    def encode(batch: Any) -> np.ndarray:
        values = np.zeros((len(batch), 3, 2), np.float32)
        values[0, 1, 0] = np.nan
        return values

    with pytest.raises(MerError, match=r"NaN or infinity in hidden states \[1\]"):
        extract(_inputs(3), encode, parts=tmp_path / "p", key="k", step=lambda *_: None)


def test_shards_are_taken_over_only_if_whole_and_of_this_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "SHARD_ROWS", 1)
    monkeypatch.setattr(extraction, "TOKENS_PER_BATCH", 4)

    def run(key: str = "k") -> int:
        block, encoded = extract(_inputs(6), _values, parts=tmp_path / "p", key=key, step=lambda *_: None)
        np.testing.assert_array_equal(block[:, 0, 0], [1, 2, 3, 4, 5, 6])
        return encoded

    assert run() == 6
    assert run() == 0
    first, *_, last = sorted((tmp_path / "p").iterdir())
    last.write_bytes(last.read_bytes()[:-1])
    first.unlink()
    assert run() == 3, "the first shard is gone (two texts), the last is torn (one text)"
    assert run("another") == 6


def test_of_two_at_once_one_encodes(data: DataConfig, encoder_config: Any, tmp_path: Path) -> None:
    """Two threads stand for two processes: the lock belongs to the open file, not to the process."""
    results: list[Any] = []

    def go() -> None:
        results.append(ensure_features(data, encoder_config(), ["train"], cache=tmp_path, progress=False))

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.encoded for result in results) == [0, 14]
    assert results[0].paths == results[1].paths


def test_progress_reports_every_batch_and_ends_at_the_total(
    data: DataConfig, encoder_config: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    steps: list[tuple[int, int]] = []
    ensure_features(data, encoder_config(), ["dev"], cache=tmp_path / "a", progress=lambda *step: steps.append(step))
    assert steps[0] == (0, 14) and steps[-1] == (14, 14) and steps == sorted(steps)
    capfd.readouterr()
    ensure_features(data, encoder_config(), ["dev"], cache=tmp_path / "b", progress=False)
    assert capfd.readouterr() == ("", "")
    ensure_features(data, encoder_config(), ["dev"], cache=tmp_path / "c", progress=None)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("meld/dev with roberta: 14/14 texts")


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from mer.config import DataConfig, TextEncoderConfig
    from mer.features import ensure_features
    from mer.features.cache import shards as extraction
    extraction.SHARD_ROWS, extraction.TOKENS_PER_BATCH = 3, 40
    def step(done, total):
        if done > total // 2:
            os.kill(os.getpid(), signal.SIGKILL)
    data, encoder = DataConfig(root=sys.argv[1]), TextEncoderConfig.model_validate_json(sys.argv[2])
    ensure_features(data, encoder, ["dev"], cache=Path(sys.argv[3]), progress=step)
"""


@pytest.mark.faults
def test_killed_extraction_goes_on_where_it_was(
    data: DataConfig, encoder_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "SHARD_ROWS", 3)
    monkeypatch.setattr(extraction, "TOKENS_PER_BATCH", 40)
    config, killed = encoder_config(past=1), tmp_path / "killed"
    arguments = [data.root, config.model_dump_json(), str(killed)]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), *arguments],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        timeout=120,
    )
    assert done.returncode == -9
    parts = next(killed.rglob(".*.parts"))
    saved = sum(len(extraction.tensors.read(file)["features"]) for file in parts.glob("*.safetensors"))
    assert saved >= 3 and not list(killed.rglob("dev-*.safetensors"))

    resumed = ensure_features(data, config, ["dev"], cache=killed, progress=False)
    whole = ensure_features(data, config, ["dev"], cache=tmp_path / "whole", progress=False)
    assert resumed.encoded == whole.encoded - saved
    assert resumed.paths["dev"].read_bytes() == whole.paths["dev"].read_bytes()
    assert not parts.exists()
    assert not [file for file in killed.rglob(".*") if file.suffix != ".lock"], "nothing but the lock stays"


@pytest.mark.real
def test_real_meld_dev_with_minilm(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    from mer.config import TextEncoderConfig
    from mer.features.backbone.files import locate

    root, config = real_data("meld"), TextEncoderConfig()
    done = ensure_features(DataConfig(root=str(root)), config, ["dev"], cache=tmp_path, progress=False)
    table = load_features(done.paths["dev"])
    assert table.features.shape == (1109, 7, 384)
    assert done.encoded < 1109, "MELD repeats itself"
    folder = locate(config, weights=True).folder
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = windows(load_corpus("meld", root, ["dev"]).splits["dev"], past=0, future=0, speaker="none")
    with torch.inference_mode():
        for i in range(0, 1109, 57):
            out = model(**tokenizer(rows[i].turns[0], return_tensors="pt"), output_hidden_states=True)
            alone = torch.stack(out.hidden_states)[:, 0].mean(dim=1).numpy()
            np.testing.assert_allclose(table.features[i].astype(np.float32), alone, atol=1e-3, err_msg=table.ids[i])
    assert ensure_features(DataConfig(root=str(root)), config, ["dev"], cache=tmp_path, progress=False).encoded == 0
