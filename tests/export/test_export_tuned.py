"""A tuned trial as a folder: adapters for peft, merged weights, live texts, the trial's own scores."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from open_study import OpenStudy, begin_study

import mer
from mer.checkpoints.export_folder import read_export
from mer.config import DataConfig, TrialConfig
from mer.data import load_corpus
from mer.data.sample.corpus import write_sample
from mer.errors import MerError
from mer.features import load_features
from mer.model_outputs import ensure_outputs
from mer.study.evaluate.verify_trial import verify_trial

pytestmark = pytest.mark.slow

SPACE = """study: tuned
trainable: text
budget: {trials: 3, epochs: 1}
sampler: {kind: random, seed: 0}
scheduler: {kind: none}
fixed:
  data: {root: CORPUS}
  encoders: {text: {backbone: minilm, layers: [5, 6], pooler: target, context: {past: 1}}}
  head: {hidden: 24}
  optim: {batch_size: 16}
params:
  encoders.text.mode: {choice: [lora, full]}
  encoders.text.lora.rank: {int: [2, 64], log: true, when: {encoders.text.mode: lora}}
  encoders.text.freeze_layers: {choice: [0, 4]}
  optim.encoder_lr: {float: [1e-5, 1e-2], log: true}
points:
  - {encoders.text.mode: lora, encoders.text.lora.rank: 4, encoders.text.freeze_layers: 4, optim.encoder_lr: 5e-3}
  - {encoders.text.mode: lora, encoders.text.lora.rank: 2, encoders.text.freeze_layers: 0, optim.encoder_lr: 5e-3}
  - {encoders.text.mode: full, encoders.text.freeze_layers: 4, optim.encoder_lr: 1e-4}
"""
SPLIT, LIVE, FULL = range(3)


@dataclass(frozen=True)
class Tuned:
    study: OpenStudy
    corpus: Path
    files: dict[int, dict[str, str]]

    @property
    def folder(self) -> Path:
        return self.study.folder

    @property
    def cache(self) -> Path:
        return self.study.cache

    def export(self, out: Path, trial: int, **options):
        return self.study.export(out, trial, **options)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> Tuned:
    place = tmp_path_factory.mktemp("tuned")
    write_sample(place / "corpus", dialogues_per_split={"train": 4, "dev": 3})
    study = begin_study(SPACE, place, CORPUS=place / "corpus")
    runs = {number: study.train_next(number) for number in (SPLIT, LIVE, FULL)}
    return Tuned(study, place / "corpus", {number: study.plan.of(run.config)["text"] for number, run in runs.items()})


def test_one_file_for_each_layer_that_training_starts_from(tuned):
    assert tuned.files[SPLIT] == tuned.files[FULL] != tuned.files[LIVE]
    assert len(list(tuned.cache.rglob("*.safetensors"))) == 4


@pytest.mark.parametrize("number", [SPLIT, LIVE, FULL], ids=["lora-split", "lora-whole", "full-split"])
def test_the_scores_come_back_from_the_cache_and_from_live_texts(tuned, tmp_path, number):
    done = tuned.export(tmp_path / "model", number)
    assert done.largest_difference <= 1e-5
    predictor = mer.load(tmp_path / "model")
    dev = load_features(Path(tuned.files[number]["dev"]))
    cached = predictor.logits(dev.sequences)
    corpus = load_corpus("meld", tuned.corpus, splits=("dev",))
    live = predictor.predict_dialogues(corpus.dialogues("dev"))
    chances = torch.softmax(torch.from_numpy(cached), dim=1).numpy()
    found = np.array([[one.probabilities[name] for name in predictor.class_names] for one in live])
    np.testing.assert_allclose(found, chances, atol=2e-3)
    assert predictor.predict(["Oh my God!"])[0].label in predictor.class_names
    card = (tmp_path / "model" / "README.md").read_text()
    words = {
        SPLIT: "layers above 4 of `minilm`, tuned by LoRA of rank 4",
        LIVE: "`minilm`, tuned by LoRA",
        FULL: "in full",
    }
    assert words[number] in card and "label `T--E" + ("T" if number == FULL else "L") in card


@pytest.mark.slow
@pytest.mark.parametrize("number", [SPLIT, LIVE])
def test_the_adapter_lies_in_a_folder_that_peft_loads(tuned, tmp_path, number):
    from peft import PeftModel

    from mer.features.backbone.files import locate
    from mer.features.from_text.sequences import TextSequenceReading
    from mer.features.text.pretrained import load_text_model, turn_tokenizer

    tuned.export(tmp_path / "model", number)
    export = read_export(tmp_path / "model")
    assert not any(name.startswith("model.encoders.") for name in export.tensors())
    words = json.loads((tmp_path / "model/adapter/adapter_config.json").read_text())
    assert words["base_model_name_or_path"] == "minilm" and words["peft_type"] == "LORA"
    encoder = export.config.encoders.text
    base = load_text_model(locate(encoder, weights=True), torch.float32)
    model = PeftModel.from_pretrained(base, tmp_path / "model/adapter").eval()
    predictor = mer.load(tmp_path / "model")
    reading = TextSequenceReading(encoder, tuned.cache)
    config = DataConfig(root=str(tuned.corpus))
    prepared = reading.prepare(load_corpus("meld", tuned.corpus, splits=("dev",)), config, "dev", tuned.cache)
    tokenizer = turn_tokenizer(reading.found, encoder)
    inputs = [tokenizer.window(window) for window in prepared.rows[:6]]
    dev = load_features(prepared.path)
    h = predictor.representations({"text": (dev.sequences, None)})[:6]
    head = predictor._model
    for row, item in enumerate(inputs):
        with torch.no_grad():
            states = model(input_ids=torch.tensor([item.ids]), output_hidden_states=True).hidden_states
            pooled = torch.stack([states[layer][0, item.start : item.end].mean(dim=0) for layer in (5, 6)])
            mixed = head.layer_mix(head.input_norm(pooled[None]))
            np.testing.assert_allclose(head.blocks(mixed)[0].numpy(), h[row], atol=5e-3)  # the cache is half precision


@pytest.mark.slow
def test_a_merged_export_needs_no_adapter(tuned, tmp_path):
    tuned.export(tmp_path / "plain", SPLIT)
    done = tuned.export(tmp_path / "merged", SPLIT, merge=True)
    assert 0 < done.largest_difference <= 1e-4
    assert not (tmp_path / "merged/adapter").exists()
    names = read_export(tmp_path / "merged").tensors()
    assert "model.encoders.text.model.encoder.layer.4.attention.self.query.weight" in names
    assert not any("lora" in name or "layer.3." in name for name in names)
    one, other = (mer.load(tmp_path / name).predict(["Oh my God!", "I am so sad."]) for name in ("plain", "merged"))
    for a, b in zip(one, other, strict=True):
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-4)


def test_only_lora_can_be_merged(tuned, tmp_path):
    with pytest.raises(MerError, match="there is nothing to merge: the encoder's mode is full"):
        tuned.export(tmp_path / "model", FULL, merge=True)
    assert not (tmp_path / "model").exists()


def test_an_altered_adapter_is_refused(tuned, tmp_path):
    tuned.export(tmp_path / "model", SPLIT)
    weights = tmp_path / "model/adapter/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(MerError, match=r"adapter_model.safetensors: truncated or edited") as refused:
        mer.load(tmp_path / "model")
    assert f"--out {tmp_path / 'model'} " in refused.value.message


def test_tokens_of_another_layer_are_refused(tuned, tmp_path):
    tuned.export(tmp_path / "model", SPLIT)
    ids = load_features(Path(tuned.files[LIVE]["dev"])).sequences
    with pytest.raises(MerError, match=r"tokens of shape \(\d+,\)"):
        mer.load(tmp_path / "model").logits(ids)
    tuned.export(tmp_path / "live", LIVE)
    states = load_features(Path(tuned.files[SPLIT]["dev"])).sequences
    with pytest.raises(MerError, match=r"tokens of shape \(\d+, 384\)") as refused:
        mer.load(tmp_path / "live").logits(states)
    assert "(tokens), its input" in refused.value.message


@pytest.mark.slow
def test_a_bundle_brings_its_backbone(tuned, tmp_path, monkeypatch):
    from mer.features.backbone import files as backbones

    tuned.export(tmp_path / "model", SPLIT, bundle=True)
    expected = mer.load(tmp_path / "model").predict(["Hi!"])[0].probabilities
    monkeypatch.setattr(backbones, "MINILM_PACKAGE", "not_installed_here")
    assert mer.load(tmp_path / "model").predict(["Hi!"])[0].probabilities == expected


@pytest.mark.slow
def test_a_trial_is_verified(tuned):
    found = verify_trial(tuned.folder, SPLIT, tuned.cache)
    assert found.same and found.epochs == 1


@pytest.mark.slow
def test_a_tuned_export_is_a_teacher_and_a_frozen_encoder(tuned, tmp_path):
    """Its h and its class scores are cached as any export's: the way into fusion and distillation."""
    tuned.export(tmp_path / "model", SPLIT)
    data = DataConfig(root=str(tuned.corpus))
    table = load_features(ensure_outputs(str(tmp_path / "model"), data, ["dev"], cache=tuned.cache).paths["dev"])
    assert table.features.shape[1:] == (1, 24)
    dev = load_features(Path(tuned.files[SPLIT]["dev"]))
    np.testing.assert_allclose(table.logits, mer.load(tmp_path / "model").logits(dev.sequences), atol=1e-5)
    from mer.model_outputs import describe_encoder

    def text(**settings):
        config = TrialConfig.model_validate({"encoders": {"text": {"backbone": str(tmp_path / "model"), **settings}}})
        return describe_encoder(config.encoders.text)

    assert text().width == 24
    with pytest.raises(MerError, match="is an export, whose weights stay as they are"):
        text(mode="lora")
