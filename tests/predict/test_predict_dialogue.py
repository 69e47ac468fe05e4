"""Fused models that read dialogues: exported, loaded, and asked about whole dialogues and single utterances."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from open_study import begin_study

import mer
from mer.checkpoints.export_folder import Export
from mer.config import DataConfig
from mer.data.inputs import Inputs, from_table
from mer.data.types import Dialogue
from mer.features import load_features
from mer.predict import run
from mer.predictor.answers import as_dialogue
from mer.predictor.predictor import Predictor
from mer.predictor.request import Request
from mer.predictor.scorer import Turns
from mer.study.preflight.feature_plan import FeaturePlan
from mer.training import FusedSplit, TrainingRun

sys.path.append(str(Path(__file__).parents[1] / "features"))

from clip_corpus import PER_DIALOGUE, clip, write_meld

SPACE = """study: told
trainable: fusion
budget: {trials: 3, epochs: 3}
sampler: {kind: random, seed: 0}
scheduler: {kind: none}
fixed:
  data: {root: CORPUS}
  encoders: {text: {backbone: minilm}, audio: {backbone: melstats}}
  fusion: {kind: concat, width: 16}
  head: {hidden: 0}
  optim: {batch_size: 6, head_lr: 1e-2}
params:
  dialogue.kind: {choice: [none, gru, attention]}
  dialogue.setting: {choice: [online, offline], when: {dialogue.kind: [gru, attention]}}
points:
  - {dialogue.kind: none}
  - {dialogue.kind: gru, dialogue.setting: online}
  - {dialogue.kind: attention, dialogue.setting: offline}
"""
NONE, ONLINE, OFFLINE = TRIALS = range(3)
MISSING = 4  # the dev row whose clip is not there
DEV = 8  # in dialogues of three, three, two
ROUNDING = 0.01


@dataclass
class Told:
    """A finished study of three fused models."""

    corpus: Path
    plan: FeaturePlan
    runs: list[TrainingRun]
    exports: list[Export]

    @property
    def table(self) -> Path:
        return self.corpus / "dev_sent_emo.csv"

    def model(self, number: int) -> Predictor:
        return mer.load(self.exports[number].folder)

    def dev(self, number: int) -> Inputs:
        return from_table(
            self.table, DataConfig(), class_names=self.exports[number].class_names, reads=("text",), speaker="Speaker"
        )

    def clips(self) -> list[Path]:
        return [clip(self.corpus, "audio", "dev", row) for row in range(DEV)]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    place = tmp_path_factory.mktemp("told")
    corpus = write_meld(place / "corpus", {"train": 14, "dev": DEV}, video=False)
    clip(corpus, "audio", "dev", MISSING).unlink()
    study = begin_study(SPACE, place, CORPUS=corpus)
    return Told(corpus, study.plan, *study.train_and_export(len(TRIALS)))


@pytest.mark.parametrize("number", TRIALS)
def test_the_export_gives_the_trials_scores(number: int, told: Told) -> None:
    """Bit for bit, and only with its dialogues."""
    trial, paths = told.runs[number], told.plan.of(told.runs[number].config)
    dev = trial.data.dev
    assert isinstance(dev, FusedSplit)
    assert (dev.dialogue_N is None) if number == NONE else (dev.dialogue_N.tolist() == [0, 0, 0, 1, 1, 1, 2, 2])
    tables = {modality: load_features(Path(of["dev"])) for modality, of in paths.items()}
    read = {modality: (table.features, table.present) for modality, table in tables.items()}
    model = told.model(number)
    turns = Turns(np.arange(DEV) // PER_DIALOGUE)
    np.testing.assert_array_equal(model.scores(read, turns), trial.member.best.logits_NC)
    apart = model.scores(read)
    assert np.allclose(apart, trial.member.best.logits_NC, atol=1e-3) == (number == NONE)


@pytest.mark.parametrize("number", TRIALS)
def test_a_csv_file_repeats_the_dev_scores(number: int, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    run(
        Request(told.exports[number].folder, file=told.table, json_lines=True),
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8"),
    )
    said = capsys.readouterr()
    rows = [json.loads(line) for line in said.out.splitlines()]
    logits = torch.from_numpy(told.runs[number].member.best.logits_NC)
    found = np.array([list(row["probabilities"].values()) for row in rows])
    np.testing.assert_allclose(found, logits.softmax(dim=1).numpy(), atol=1e-3)
    best = told.runs[number].member.best.row
    assert best is not None
    scores = f"{DEV} labelled utterances: accuracy {100 * best['dev_accuracy']:.2f}, "
    assert scores + f"weighted-F1 {100 * best['dev_weighted_f1']:.2f}" in said.err
    card = (told.exports[number].folder / "README.md").read_text()
    assert f"| dev_accuracy | {100 * best['dev_accuracy']:.2f} |" in card


def test_the_card_says_what_is_read_and_names_it(told: Told) -> None:
    cards = [(export.folder / "README.md").read_text() for export in told.exports]
    assert "It reads each utterance by itself." in cards[NONE] and "Method `T+A Concat ce`" in cards[NONE]
    assert "It reads an utterance with all earlier ones of its dialogue: give whole dialogues" in cards[ONLINE]
    assert "Method `T+A Concat+GRU-online ce`" in cards[ONLINE]
    assert "with all earlier and later (not usable live) ones of its dialogue" in cards[OFFLINE]
    assert "label `T+A--EF--Concat+Attention-offline(minilm+melstats)`" in cards[OFFLINE]


@pytest.mark.parametrize("number", [ONLINE, OFFLINE])
def test_dialogues_are_read_whole_and_apart(number: int, told: Told) -> None:
    """Scores up to a constant, as logs of chances; live features round the last bits of another batch's sums."""
    model, inputs, clips = told.model(number), told.dev(number), told.clips()

    def ask(*dialogues: Dialogue, rows: list[int]) -> np.ndarray:
        found = model.predict_utterances(dialogues, {"audio": [clips[row] for row in rows]})
        return np.log([list(prediction.probabilities.values()) for prediction in found])

    def alone(row: int) -> Dialogue:
        return as_dialogue([("Ross", f"Line {row}.")], name="any name, also another's")

    whole = ask(*inputs.dialogues, rows=list(range(DEV)))
    first, second, third = inputs.dialogues
    apart = [ask(first, rows=[0, 1, 2]), ask(second, rows=[3, 4, 5]), ask(third, rows=[6, 7])]
    assert np.concatenate(apart) == pytest.approx(whole, abs=ROUNDING)
    singles = ask(alone(0), alone(2), alone(7), rows=[0, 2, 7])
    assert singles == pytest.approx(np.concatenate([ask(alone(row), rows=[row]) for row in (0, 2, 7)]), abs=ROUNDING)
    told_more = np.abs(singles - whole[[0, 2, 7]]).max(axis=1) > 2 * ROUNDING
    assert told_more.tolist() == [number == OFFLINE, True, True], "online the first utterance is told nothing"
