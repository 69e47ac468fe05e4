"""Exports of text or sound alone that read dialogues: as trained, from files, and as another model's encoder."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from open_study import OpenStudy, begin_study

import mer
from mer.checkpoints.export_folder import Export
from mer.config import SPEAKERS, DataConfig
from mer.data.inputs import from_table
from mer.errors import MerError
from mer.features import load_features
from mer.model_outputs import read_of
from mer.naming import method_name
from mer.predict import run
from mer.predictor.request import Request
from mer.training import FusedSplit, TrainingRun

sys.path.append(str(Path(__file__).parents[1] / "features"))

from clip_corpus import write_meld

SPACE = """study: NAME
trainable: MODALITY
budget: {trials: 2, epochs: 3}
sampler: {kind: random, seed: 0}
scheduler: {kind: none}
fixed:
  data: {root: CORPUS}
  encoders: {MODALITY: {backbone: BACKBONE}}
  head: {hidden: 16}
  optim: {batch_size: 6, head_lr: 1e-2}
params:
  dialogue.kind: {choice: [graph, attention]}
  dialogue.setting: {choice: [online, offline]}
  dialogue.speakers: {choice: [none, relative], when: {dialogue.kind: attention}}
points:
  - {dialogue.kind: graph, dialogue.setting: online}
  - {dialogue.kind: attention, dialogue.setting: offline, dialogue.speakers: relative}
"""
GRAPH, ATTENTION = TRIALS = range(2)
DEV = 8  # in dialogues of three, three, two


@dataclass
class Studied:
    corpus: Path
    study: OpenStudy
    runs: list[TrainingRun]
    exports: list[Export]

    @property
    def table(self) -> Path:
        return self.corpus / "dev_sent_emo.csv"


def studied(place: Path, corpus: Path, modality: str, backbone: object, name: str = "one") -> Studied:
    place.mkdir(parents=True, exist_ok=True)
    study = begin_study(SPACE, place, CORPUS=corpus, MODALITY=modality, BACKBONE=backbone, NAME=name)
    return Studied(corpus, study, *study.train_and_export(len(TRIALS)))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Utterances of three people: who speaks goes round in dialogues of three, three, two."""
    return write_meld(tmp_path_factory.mktemp("corpus"), {"train": 14, "dev": DEV}, video=False)


@pytest.fixture(scope="module", params=["text", "audio"])
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Studied:
    backbone = {"text": "minilm", "audio": "melstats"}[request.param]
    return studied(tmp_path_factory.mktemp("one"), corpus, request.param, backbone)


@pytest.mark.parametrize("number", TRIALS)
def test_the_export_gives_the_trials_scores(number: int, one: Studied) -> None:
    """Bit for bit, and only with its dialogues and speakers."""
    trial = one.runs[number]
    assert isinstance(trial.data.dev, FusedSplit)
    paths = one.study.plan.of(trial.config)
    tables = {name: load_features(Path(of["dev"])) for name, of in paths.items()}
    assert SPEAKERS in tables
    read, turns = read_of(tables)
    assert turns.dialogue_N.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    model = mer.load(one.exports[number].folder)
    np.testing.assert_array_equal(model.scores(read, turns), trial.member.best.logits_NC)
    assert not np.allclose(model.scores(read), trial.member.best.logits_NC, atol=1e-3)
    with pytest.raises(MerError, match="the model reads who speaks"):
        model.scores(read, type(turns)(turns.dialogue_N))


@pytest.mark.parametrize("number", TRIALS)
def test_a_csv_file_repeats_the_dev_scores(number: int, one: Studied, capsys: pytest.CaptureFixture[str]) -> None:
    folder = one.exports[number].folder
    run(
        Request(folder, file=one.table, json_lines=True, clips={"audio": ()}),
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8"),
    )
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = np.array([list(row["probabilities"].values()) for row in rows])
    logits = torch.from_numpy(one.runs[number].member.best.logits_NC)
    np.testing.assert_allclose(found, logits.softmax(dim=1).numpy(), atol=1e-3)


def test_the_card_and_the_name_say_what_is_read(one: Studied) -> None:
    graph, attention = ((export.folder / "README.md").read_text() for export in one.exports)
    assert "with all earlier ones of its dialogue, and who speaks them: give whole dialogues" in graph
    assert "with all earlier and later (not usable live) ones of its dialogue, and who speaks" in attention
    names = [method_name(run.config) for run in one.runs]
    assert names == ["DAG-online ce", "Attention-offline-speakers ce"]
    assert "--EF--DAG-online(" in graph and "--EF--Attention-offline-speakers(" in attention


def test_an_export_that_reads_dialogues_encodes_for_another_model(one: Studied, tmp_path: Path) -> None:
    """Its h is cached with its dialogues, and live inputs give the same scores."""
    (modality,) = one.runs[GRAPH].config.encoders.present
    inner = one.exports[GRAPH].folder
    outer = studied(tmp_path, one.corpus, modality, inner, name="outer")
    trial = outer.runs[ATTENTION]
    paths = outer.study.plan.of(trial.config)
    cached = load_features(Path(paths[modality]["dev"])).features[:, 0]
    tables = {name: load_features(Path(of["dev"])) for name, of in one.study.plan.of(one.runs[GRAPH].config).items()}
    np.testing.assert_array_equal(cached, mer.load(inner).representations(*read_of(tables)))
    model = mer.load(outer.exports[ATTENTION].folder)
    inputs = from_table(one.table, DataConfig(), class_names=model.class_names, reads=(modality,), speaker="Speaker")
    clips = (
        [] if modality == "text" else [one.corpus / u.audio for d in inputs.dialogues for u in d.utterances if u.audio]
    )
    told = model.predict_utterances(inputs.dialogues, {} if modality == "text" else {modality: clips})
    found = np.array([list(prediction.probabilities.values()) for prediction in told])
    logits = torch.from_numpy(trial.member.best.logits_NC)
    np.testing.assert_allclose(found, logits.softmax(dim=1).numpy(), atol=2e-3)
