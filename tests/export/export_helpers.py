"""A small study on the sample corpus, trained in this process and written as the driver and its workers write it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from open_study import begin_study, quiet

from mer.checkpoints.export_folder import Export, read_export
from mer.data.sample.corpus import write_sample
from mer.study.export.choose import ExportOptions
from mer.study.export.write import Exported, export_study
from mer.study.folder.read_study import StudyRecord, read_record
from mer.study.preflight.feature_plan import FeaturePlan
from mer.study.search.ledger import Ledger
from mer.study.space.spec import StudySpec
from mer.training import TrainingRun

SPACE = """study: small
trainable: text
budget: {trials: 7, epochs: 3}
sampler: {kind: random, seed: 0}
scheduler: {kind: none}
fixed:
  data: {root: CORPUS}
  encoders: {text: {backbone: minilm, layers: [2, -1], pooler: target, speaker: name, context: {past: 2}}}
  head: {hidden: 24}
  loss: {contrastive: {kind: eacl, temperature: 0.1}}
params:
  training.prediction: {choice: [head, nearest_center, nearest_anchor]}
  loss.contrastive.stage_two_epochs: {choice: [0, 1], when: {training.prediction: nearest_anchor}}
  optim.head_lr: {float: [1e-4, 1e-1], log: true}
points:
  - {training.prediction: head, optim.head_lr: 2e-3}
  - {training.prediction: nearest_center, optim.head_lr: 3e-3}
  - {training.prediction: nearest_anchor, loss.contrastive.stage_two_epochs: 1, optim.head_lr: 4e-3}
  - {training.prediction: head, optim.head_lr: 5e-3}
  - {training.prediction: nearest_anchor, loss.contrastive.stage_two_epochs: 0, optim.head_lr: 6e-3}
  - {training.prediction: head, optim.head_lr: 1e-4}
"""
HEAD, CENTER, ANCHOR, FAILED, CUT, BARE, RUNNING = range(7)  # trial numbers


@dataclass
class Made:
    """A finished small study: its folders, its features and its runs."""

    place: Path
    folder: Path
    cache: Path
    spec: StudySpec
    plan: FeaturePlan
    runs: dict[int, TrainingRun]

    @property
    def corpus(self) -> Path:
        return self.place / "corpus"

    @property
    def dev_csv(self) -> Path:
        return self.corpus / "dev_sent_emo.csv"

    def record(self) -> StudyRecord:
        return read_record(self.folder)

    def export(self, out: Path, **options: Any) -> Exported:
        return export_study(self.record(), ExportOptions(out=out, cache=self.cache, **options), quiet())[0]

    def ledger(self) -> Ledger:
        return Ledger(self.folder, self.spec)


def make_study(place: Path) -> Made:
    """Seven trials: three kinds of prediction, one failed, one stopped early, one without weights, one running."""
    write_sample(place / "corpus", dialogues_per_split={"train": 8, "dev": 5})
    study = begin_study(SPACE, place, CORPUS=place / "corpus")
    made = Made(place, study.folder, study.cache, study.spec, study.plan, {})
    for number in (HEAD, CENTER, ANCHOR, FAILED, CUT, BARE, RUNNING):
        run = study.next_run()
        if number == RUNNING:
            break
        if number == FAILED:
            study.ledger.end(number, "error", best=None, reason="RuntimeError: out of luck")
            continue
        while not run.finished:
            run.train_epoch()
        made.runs[number] = run
        study.end(number, run, "cut" if number == CUT else "finished")
    (study.folder / "trials/00005/best.safetensors").unlink()
    return made


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_study(tmp_path_factory.mktemp("made"))


@pytest.fixture
def study_copy(small_study: Made, tmp_path: Path) -> Made:
    """The study, to be broken."""
    shutil.copytree(small_study.folder, tmp_path / "studies" / "small")
    return replace(small_study, folder=tmp_path / "studies/small")


@pytest.fixture(scope="session")
def exported(small_study: Made, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Trial 0, read once: do not change it."""
    return small_study.export(tmp_path_factory.mktemp("exports") / "model", trial=HEAD).export


@pytest.fixture
def export_copy(exported: Export, tmp_path: Path) -> Path:
    """An export to be broken."""
    shutil.copytree(exported.folder, tmp_path / "model")
    assert read_export(tmp_path / "model").config == exported.config
    return tmp_path / "model"
