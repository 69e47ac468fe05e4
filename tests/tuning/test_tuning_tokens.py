"""Inputs of tuned encoders: cached once for all trials that start from the same layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from text_backbones import LINES
from tuning_lab import Lab, interrupted_after

from mer.config import settings_of
from mer.errors import MerError
from mer.features import disk_space as rooms
from mer.features import ensure_features, load_features
from mer.features.cache import tensors
from mer.features.cache.feature_file import verify_features
from mer.features.cache.sequences import Sequences
from mer.features.from_text.sequences import TextSequenceReading
from mer.features.text.pretrained import load_text_model, turn_tokenizer

DISTINCT = len(set(LINES))  # of the texts of the training split, which has each line twice


def ensured(lab: Lab, **settings):
    config = lab.config(**settings)
    return config, ensure_features(config.data, config.encoders.text, ["train"], cache=lab.cache, progress=False)


@pytest.mark.parametrize("pooler", ["mean", "target", "first"])
def test_the_hidden_states_are_those_of_every_token_alone(lab, pooler):
    """Each text by itself, without padding, through the whole model."""
    config, done = ensured(lab, depth=4, freeze_layers=2, pooler=pooler, context={"past": 1})
    table = load_features(done.paths["train"])
    reading = TextSequenceReading(config.encoders.text, lab.cache)
    model = load_text_model(reading.found, torch.float32).eval()
    from mer.data import load_corpus, windows

    tokenizer = turn_tokenizer(reading.found, config.encoders.text)
    corpus = load_corpus("meld", config.data.root, splits=("train",))
    rows = windows(corpus.dialogues("train"), past=1, future=0, speaker="none")
    tokens = table.sequences
    assert table.hidden_states == 5 and tokens.values.dtype == np.float16 and len(tokens) == len(rows) == 32
    for i, window in enumerate(rows):
        item = tokenizer.window(window)
        with torch.inference_mode():
            state = model(input_ids=torch.tensor([item.ids]), output_hidden_states=True).hidden_states[2][0]
        row = tokens.values[tokens.offsets[i] : tokens.offsets[i + 1]]
        np.testing.assert_allclose(row, state.numpy(), rtol=2e-3, atol=2e-3)
        assert tuple(tokens.spans[i]) == (item.start, item.end)


def test_token_ids_are_kept_where_nothing_is_frozen(lab):
    config, done = ensured(lab)
    tokens = load_features(done.paths["train"]).sequences
    tokenizer = turn_tokenizer(lab.found("roberta"), config.encoders.text)
    assert tokens.values.dtype == np.int32
    assert tokenizer.tokenizer.decode(tokens.values[: tokens.offsets[1]], skip_special_tokens=True) == "Oh my God!"


def test_trials_share_a_file_unless_they_read_something_else(lab):
    def path(**settings):
        return ensured(lab, depth=4, **settings)[1].paths["train"]

    same = path(freeze_layers=2)
    assert path(freeze_layers=2, lora={"rank": 2}) == path(freeze_layers=2, mode="full") == same
    assert path(freeze_layers=2, layers=[3, 4]) == path(freeze_layers=2, tuned_dropout=0.0) == same
    others = [path(freeze_layers=k) for k in (0, 1, 3)] + [path(freeze_layers=2, context={"past": 1})]
    assert len({same, *others}) == 5
    assert path(freeze_layers=2, split_cache=False) == others[0], "token ids, whatever is frozen"
    settings = {
        settings_of(lab.config(depth=4, **kind))["text"]
        for kind in (
            {"freeze_layers": 2},
            {"freeze_layers": 2, "mode": "full"},
            {"freeze_layers": 2, "recompute": True},
        )
    }
    assert len(settings) == 1


def test_made_once_whole_and_verified(lab):
    config, first = ensured(lab, freeze_layers=1)
    _, again = ensured(lab, freeze_layers=1)
    assert (first.encoded, again.encoded) == (DISTINCT, 0) and first.paths == again.paths
    assert verify_features(first.paths["train"]).sequences.fault() == ""
    reading = TextSequenceReading(config.encoders.text, lab.cache)
    from mer.data import load_corpus

    prepared = reading.prepare(
        load_corpus("meld", config.data.root, splits=("train",)), config.data, "train", lab.cache
    )
    size = first.paths["train"].stat().st_size
    assert 0 <= size - reading.bytes_for(prepared) < 8192, "the estimate is the file without names and labels"


def test_an_interrupted_extraction_goes_on(lab, monkeypatch):
    from mer.features.cache import shards as extraction
    from mer.features.from_text import sequences as token_reading

    monkeypatch.setattr(extraction, "SHARD_ROWS", 4)
    monkeypatch.setattr(extraction, "TOKENS_PER_BATCH", 64)
    with interrupted_after(monkeypatch, token_reading.TextStates, "_encode", 9):
        ensured(lab, freeze_layers=1)
    _, done = ensured(lab, freeze_layers=1)
    assert 0 < done.encoded < DISTINCT
    other = Lab(lab.backbone, lab.data, lab.cache / "elsewhere")
    _, whole = ensured(other, freeze_layers=1)
    assert whole.encoded == DISTINCT
    assert done.paths["train"].read_bytes() == whole.paths["train"].read_bytes()


def test_a_table_that_is_not_whole_is_refused(lab, tmp_path):
    _, done = ensured(lab, freeze_layers=1)
    path = done.paths["train"]
    header = tensors.read_header(path)
    header.pop("shapes")
    arrays = tensors.read(path)
    arrays["tokens.offsets"] = arrays["tokens.offsets"] + 1
    tensors.write(path, arrays, header)
    with pytest.raises(MerError, match="its offsets do not cut its tokens into rows"):
        load_features(path)


def test_the_table_of_the_cache_lists_them(lab):
    from typer.testing import CliRunner

    from mer.features.__main__ import app

    ensured(lab, freeze_layers=1)
    ensured(lab)
    listed = CliRunner().invoke(app, ["list", "--cache", str(lab.cache)], env={"COLUMNS": "200"})
    assert listed.exit_code == 0 and "tokens, 1 x 32" in listed.output and "token ids" in listed.output


def test_gathered_rows_are_the_rows():
    table = Sequences.join([np.arange(3), np.arange(10, 12), np.arange(20, 24)], [(0, 3), (1, 2), (0, 1)])
    some = table.gather(np.array([2, 0]))
    assert some.values.tolist() == [20, 21, 22, 23, 0, 1, 2] and some.offsets.tolist() == [0, 4, 7]
    assert some.spans.tolist() == [[0, 1], [0, 3]] and some.fault() == ""


def test_no_room_is_said_with_figures_before_anything_is_encoded(lab, monkeypatch):
    wanted = [(lab.data, lab.config(freeze_layers=k).encoders.text) for k in (0, 1)]
    rooms.refuse_no_room(wanted, ["train", "dev"], lab.cache)
    monkeypatch.setattr(rooms, "free_bytes", lambda place: 20_000 if place == lab.cache else None)
    with pytest.raises(MerError, match=r"cached tokens of 2 encoder settings would take 0.00 GB here") as refused:
        rooms.refuse_no_room(wanted, ["train", "dev"], lab.cache)
    assert (
        "encoders.text.split_cache: false" in refused.value.message and "train after layer 1" in refused.value.message
    )
    monkeypatch.setattr(rooms, "free_bytes", lambda place: 10_000 if place == rooms.SHARED_MEMORY else None)
    with pytest.raises(MerError, match="/dev/shm: cached tokens and weights of 2 encoder settings"):
        rooms.refuse_no_room(wanted, ["train", "dev"], lab.cache)
    assert not list(lab.cache.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"freeze_layers": 2}, "the head reads hidden state 2, which is not tuned: freeze_layers is 2"),
        ({"freeze_layers": 1, "layers": [1, 2]}, "the head reads hidden state 1, which is not tuned"),
    ],
)
def test_layers_that_nobody_trains_are_refused(lab, settings, found):
    with pytest.raises(MerError, match=found):
        ensured(lab, **settings)
