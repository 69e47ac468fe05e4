"""Fusions on states, and others on pooled features: from clips on disk to exports that read new, or missing, clips."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_study import OpenStudy, begin_study
from rich.console import Console

import mer
from mer.checkpoints.export_folder import read_export
from mer.data import load_corpus
from mer.data.media import MediaFault
from mer.data.sample.corpus import write_sample
from mer.errors import MerError
from mer.features import load_features
from mer.model_outputs import ensure_outputs
from mer.study.evaluate.verify_trial import verify_trial
from mer.study.export.other_forms import add_forms
from mer.study.preflight.dry_run import dry_run
from mer.study.preflight.run_options import RunOptions
from mer.study.space.load import load_spec

KINDS = {  # of search_spaces/sequences.yaml
    "attentive": "fusion: {kind: concat, width: 16}",
    "mult": "fusion: {kind: mult, width: 16, stream_width: 8, heads: 2, layers: 1}",
    "misa": "fusion: {kind: misa, width: 16, subspace_width: 8}",
    "tfn": "fusion: {kind: tfn, width: 16, factor_width: 4}",
    "moe": "fusion: {kind: moe, width: 16}",
    "mean": "fusion: {kind: mean, width: 16}",
    "self_mm": "fusion: {kind: self_mm, width: 16, own_width: 8}",
}
STATES = ("attentive", "mult")
SPACE = """study: KIND
trainable: fusion
budget: {trials: 1, epochs: 2}
scheduler: {kind: none}
fixed:
  data: {root: CORPUS}
  encoders:
    text: {backbone: minilm POOLED}
    audio: {backbone: melstats POOLED}
    video: {backbone: framestats, frames: 4 POOLED}
  head: {hidden: 12}
  FUSION
  optim: {batch_size: 8}
params:
  optim.head_lr: {float: [1e-3, 2e-3]}
"""


class Made:
    def __init__(self, place: Path) -> None:
        self.place, self.corpus, self.cache = place, place / "corpus", place / "cache"
        write_sample(self.corpus, dialogues_per_split={"train": 3, "dev": 2}, modalities=("text", "audio", "video"))
        dev = load_corpus("meld", self.corpus, splits=("dev",)).utterances("dev")
        (self.corpus / str(dev[1].audio)).unlink()
        (self.corpus / str(dev[2].video)).unlink()
        self.studies: dict[str, OpenStudy] = {}

    def space(self, kind: str) -> str:
        pooled = ", pooler: none, max_states: 12" if kind in STATES else ""
        return (
            SPACE.replace("KIND", kind)
            .replace("FUSION", KINDS[kind])
            .replace(" POOLED", pooled)
            .replace("CORPUS", str(self.corpus))
        )

    def study(self, kind: str) -> OpenStudy:
        if kind not in self.studies:
            (self.place / kind).mkdir()
            study = begin_study(self.space(kind), self.place / kind, self.cache)
            study.train_next()
            study.export(self.place / kind / "model")
            self.studies[kind] = study
        return self.studies[kind]

    def model(self, kind: str) -> Path:
        self.study(kind)
        return self.place / kind / "model"

    def clips(self, modality: str, missing: bool = False) -> list[Path | MediaFault]:
        utterances = load_corpus("meld", self.corpus, splits=("dev",)).utterances("dev")
        places = [self.corpus / str(getattr(utterance, modality)) for utterance in utterances]
        return [place if place.exists() and not missing else MediaFault("no such file") for place in places]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    torch.set_num_threads(1)
    return Made(tmp_path_factory.mktemp("states"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_scores_come_back_from_new_clips_two_of_them_absent(made: Made, kind: str) -> None:
    export = read_export(made.model(kind))
    predictor = mer.load(export.folder)
    files = made.study(kind).plan.of(export.config)
    tables = {modality: load_features(Path(of["dev"])) for modality, of in files.items()}
    assert [table.present.all() for table in tables.values()] == [True, False, False]
    assert {table.keeps_states for table in tables.values()} == {kind in STATES}
    cached = predictor.scores({modality: (table.inputs, table.present) for modality, table in tables.items()})
    dialogues = load_corpus("meld", made.corpus, splits=("dev",)).dialogues("dev")
    live = chances(predictor.predict_utterances(dialogues, {m: made.clips(m) for m in ("audio", "video")}))
    np.testing.assert_allclose(live, torch.softmax(torch.from_numpy(cached), dim=1).numpy(), atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_with_a_modality_missing(made: Made, kind: str) -> None:
    predictor = mer.load(made.model(kind))
    dialogues = load_corpus("meld", made.corpus, splits=("dev",)).dialogues("dev")
    whole = chances(predictor.predict_utterances(dialogues, {m: made.clips(m) for m in ("audio", "video")}))
    silent = {"audio": made.clips("audio", missing=True), "video": made.clips("video")}
    without = chances(predictor.predict_utterances(dialogues, silent))
    assert np.isfinite(without).all() and np.abs(whole - without).max() > 1e-4
    nothing = {m: made.clips(m, missing=True) for m in ("audio", "video")}
    told = predictor.predict_utterances(dialogues, nothing)
    assert np.isfinite(chances(told)).all() and not any(one.fault for one in told), "the text is there"


def chances(found: Any) -> np.ndarray:
    return np.array([list(one.probabilities.values()) for one in found])


@pytest.mark.parametrize("kind", STATES)
def test_a_trial_is_verified_and_its_outputs_teach(made: Made, kind: str) -> None:
    study = made.study(kind)
    assert verify_trial(study.folder, 0, study.cache).same
    config = read_export(made.model(kind)).config
    path = ensure_outputs(str(made.model(kind)), config.data, ["dev"], cache=study.cache, progress=False).paths["dev"]
    table = load_features(path)
    assert table.logits is not None and np.isfinite(table.logits).all() and table.features.shape[2] == 12


def test_a_model_that_pools_tokens_has_no_form_without_mer(made: Made, tmp_path: Path) -> None:
    space = """study: tokens
trainable: text
budget: {trials: 1, epochs: 1}
scheduler: {kind: none}
fixed: {data: {root: CORPUS}, encoders: {text: {backbone: minilm, pooler: none}}, head: {hidden: 8}}
params: {optim.head_lr: {float: [1e-3, 2e-3]}}
"""
    study = begin_study(space.replace("CORPUS", str(made.corpus)), tmp_path, made.cache)
    study.train_next()
    study.export(tmp_path / "model")
    with pytest.raises(MerError, match=r"it pools tokens by itself \(pooler none\)"):
        add_forms(tmp_path / "model", ["onnx"])
    answer = mer.load(tmp_path / "model").predict(["Oh my God!", "no"])
    assert len(answer) == 2 and answer[0].probabilities != answer[1].probabilities


@pytest.mark.parametrize("kind", ["attentive", "misa"])
def test_a_dry_run_says_what_is_kept_and_who_trains_alone(made: Made, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(made.space(kind), encoding="utf-8")
    out = io.StringIO()
    options = RunOptions(studies=tmp_path / "studies", cache=tmp_path / "features")
    dry_run(load_spec(path, (), {}), options, Console(file=out, width=300))
    said = out.getvalue()
    if kind == "misa":
        assert "pooler none" not in said and "max_states" not in said
        return
    assert "100 % of the trials train alone: it reads states of tokens or frames (pooler none)" in said
    assert "encoders.text keeps a state of every token: about " in said
    assert "48 wide, at most 12 (encoders.audio.max_states); 8 of 8 are averaged down to that" in said
    assert "encoders.video keeps a state of every step of time: about 4 of an utterance, 338 wide, at most 12" in said
    assert not (tmp_path / "features").exists() or not list((tmp_path / "features").rglob("*.safetensors"))
