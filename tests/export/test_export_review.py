"""A review from disk to disk: stages of a frozen and of a tuned teacher, a student's study, its export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from export_helpers import Made
from open_study import OpenStudy, begin_study, quiet

import mer
from mer.checkpoints.export_folder import Export
from mer.config import STAGES, DataConfig
from mer.errors import MerError
from mer.features import load_features
from mer.predictor.opening import open_predictor
from mer.study.export.choose import ExportOptions
from mer.study.export.write import export_study
from mer.study.folder.read_study import read_record
from mer.study.preflight.check_plan import check_plan
from mer.study.space.load import load_spec
from mer.teacher_stages import ensure_stages, stage_numbers
from mer.training import TrainingRun

pytestmark = pytest.mark.slow

TEXT = (
    "{backbone: minilm, mode: lora, layers: [5, 6], freeze_layers: 4, pooler: target, speaker: name, "
    "context: {past: 2}}"
)
SPACE = f"""study: reviewed
trainable: distill
budget: {{trials: 1, epochs: 2}}
scheduler: {{kind: none}}
fixed:
  data: {{root: CORPUS}}
  encoders: {{text: {TEXT}}}
  head: {{hidden: 12}}
  optim: {{batch_size: 16}}
  distill: {{teacher: TEACHER, warmup_steps: 2, feature: review, feature_weight: 0.6, review_levels: 3}}
params:
  optim.head_lr: {{float: [1e-3, 2e-3]}}
"""
LEVELS, PARTS = 3, 4


@dataclass
class Reviewed:
    study: OpenStudy
    run: TrainingRun
    export: Export


@pytest.fixture(scope="module")
def reviewed(exported: Export, small_study: Made, tmp_path_factory: pytest.TempPathFactory) -> Reviewed:
    place = tmp_path_factory.mktemp("reviewed")
    study = begin_study(SPACE, place, small_study.cache, TEACHER=exported.folder, CORPUS=small_study.corpus)
    run = study.train_next()
    options = ExportOptions(out=place / "student", cache=small_study.cache)
    return Reviewed(study, run, export_study(read_record(study.folder), options, quiet())[0].export)


def test_stages_of_a_frozen_teacher_are_its_hidden_states(exported: Export, small_study: Made):
    """In one part of time they are what its pooler gives, which the feature file of every encoder holds."""
    assert stage_numbers(exported, 3) == ("text", [2, 4, 6])
    data = DataConfig(root=str(small_study.corpus))
    how = {"stages": 3, "parts": 1, "cache": small_study.cache, "progress": False}
    staged = load_features(ensure_stages(str(exported.folder), data, ("dev",), **how).paths["dev"])
    config = small_study.runs[0].config
    pooled = load_features(Path(small_study.plan.of(config)["text"]["dev"]))
    assert staged.ids == pooled.ids
    np.testing.assert_allclose(staged.features, pooled.features[:, [2, 4, 6]], atol=4e-3)


def test_they_are_made_once_and_parts_are_parts_of_the_whole(exported: Export, small_study: Made, reviewed: Reviewed):
    data = DataConfig(root=str(small_study.corpus))
    how = {"stages": 2, "parts": PARTS, "cache": small_study.cache, "progress": False}
    again = ensure_stages(str(exported.folder), data, ("train", "dev"), **how)
    assert again.encoded == 0, "the study has made them"
    (files,) = [of for setting, of in reviewed.study.plan.files.items() if setting.stages]
    assert again.paths == files
    table = load_features(files["dev"])
    assert table.features.shape[1:] == (2 * PARTS, 384) and table.present.all()
    assert STAGES in reviewed.study.plan.of(reviewed.run.config)


def test_the_student_learns_exports_and_predicts(reviewed: Reviewed):
    rows = reviewed.run.history
    assert rows[1]["train_loss_feature"] < rows[0]["train_loss_feature"] and rows[0]["train_loss_feature"] > 0
    names = reviewed.export.tensors()
    assert not any("review" in name for name in names), "the layers of the loss predict nothing"
    assert mer.load(reviewed.export.folder).predict(["Oh my God!"])[0].label in reviewed.export.class_names


def test_a_tuned_teacher_shows_the_states_that_it_was_trained_to(reviewed: Reviewed, small_study: Made):
    teacher, data = reviewed.export, DataConfig(root=str(small_study.corpus))
    assert stage_numbers(teacher, 2) == ("text", [5, 6])
    how = {"stages": 2, "parts": 1, "cache": small_study.cache, "progress": False}
    staged = load_features(ensure_stages(teacher, data, ("dev",), **how).paths["dev"])
    dev = reviewed.run.data.dev
    encoder = open_predictor(teacher).encoder_reading("text", [5, 6])
    batch, _ = dev.batch(np.arange(len(dev)), [])
    with torch.no_grad():
        np.testing.assert_allclose(staged.features, encoder.pooled(batch).numpy(), atol=4e-3)
    frozen = open_predictor(teacher).encoder_reading("text", [5, 6])
    with torch.no_grad():
        for name, weight in frozen.trained().items():
            if ".lora_B." in name:
                weight.zero_()
        assert not np.allclose(staged.features, frozen.pooled(batch).numpy(), atol=4e-3), "without its adapters"


def test_teachers_that_have_no_such_stages_are_refused(
    exported: Export, reviewed: Reviewed, small_study: Made, tmp_path: Path
):
    with pytest.raises(MerError, match="has 6 layers of text to review, and its students 7 stages"):
        stage_numbers(exported, 7)
    with pytest.raises(MerError, match="has 2 layers of text to review, and its students 3 stages"):
        stage_numbers(reviewed.export, 3)
    heard = exported.config.model_copy(update={"encoders": type(exported.config.encoders)(audio={})})
    deaf = type("Other", (), {"folder": exported.folder, "config": heard, "inputs": {}})()
    with pytest.raises(MerError, match="statistics of the signal, melstats, which has no hidden states to review"):
        stage_numbers(deaf, 2)
    space = SPACE.replace("CORPUS", str(small_study.corpus)).replace("TEACHER", str(reviewed.export.folder))
    space = space.replace("[5, 6], freeze_layers: 4", "[1, 3, 5]")
    (tmp_path / "space.yaml").write_text(space)
    with pytest.raises(MerError, match=r"distill\.teacher: .* has 2 layers of text to review"):
        check_plan(load_spec(tmp_path / "space.yaml"))
