"""A study of numbers, and one of several labels: trained, exported, loaded, asked, reported."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from open_study import OpenStudy, begin_study

import mer
from analysis.stores.journal import load_study
from analysis.study_page.build import study_sections
from mer.checkpoints.export_folder import read_export
from mer.checkpoints.export_manifest import MANIFEST
from mer.errors import MerError
from mer.files import sha256_file
from mer.predict import run as predict
from mer.predictor.request import Request
from mer.study.folder.artifacts import draw_picture
from mer.study.folder.recorded import read_scores
from mer.study.paths import ARTIFACTS, DEV_PREDICTIONS, trial_folder
from mer.training.label_thresholds import choose_label_thresholds

SPACE = """
study: targets
trainable: audio
budget: {trials: 2, epochs: 3}
scheduler: {kind: none}
fixed:
  data: {dataset: csv, root: CORPUS, task: TASK, targets: TARGETS}
  encoders: {audio: {backbone: melstats}}
  head.hidden: 8
params: {optim.head_lr: {float: [1e-3, 1e-2], log: true}}
"""
TASKS = {"regression": "[loud, high]", "multilabel": "[is_loud, is_high]"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Tones of two loudnesses and two heights; some rows do not say one of them."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("dev", 12)):
        rows = ["path,loud,high,is_loud,is_high"]
        for row in range(count):
            loud, high = row % 2, row // 2 % 2
            tone = (0.05 + 0.5 * loud) * np.sin(np.arange(8000) * (0.05 + 0.2 * high)) + 0.01 * rng.normal(size=8000)
            soundfile.write(folder / f"{split}{row}.wav", tone.astype(np.float32), 16000)
            said = "" if row == 5 else f"{60 + 20 * loud + rng.normal():.3f}"
            rows.append(f"{split}{row}.wav,{said},{100 + 300 * high},{loud},{high}")
        (folder / f"{split}.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module", params=TASKS)
def study(request, tmp_path_factory, corpus) -> OpenStudy:
    place = tmp_path_factory.mktemp(request.param)
    begun = begin_study(SPACE, place, CORPUS=corpus, TASK=request.param, TARGETS=TASKS[request.param])
    begun.train_next(0)
    return begun


def task(study: OpenStudy) -> str:
    return study.spec.data.task


def test_the_search_judges_by_the_metric_of_the_task(study):
    metric = "dev_ccc" if task(study) == "regression" else "dev_macro_f1"
    assert [(one.metric, one.mode) for one in study.spec.objective] == [(metric, "max")]


def test_a_trial_leaves_tables_and_a_picture(study):
    folder = trial_folder(study.folder, 0)
    scores = read_scores(folder / ARTIFACTS / DEV_PREDICTIONS)
    drawn = draw_picture(folder, "t", 1, study.spec.data)
    if task(study) == "regression":
        assert (folder / ARTIFACTS / "per_target.csv").exists() and drawn.name == "scatter.svg"
        assert not (folder / ARTIFACTS / "confusion.csv").exists() and np.isnan(scores.labels_N[5, 0])
        assert drawn.read_text().count("<circle") == 11 + 12
    else:
        assert (folder / ARTIFACTS / "confusion.csv").exists() and drawn.name == "confusion.svg"


def test_an_export_repeats_the_scores_and_answers(study, corpus, tmp_path, capsys):
    done = study.export(tmp_path / "export")
    export = read_export(tmp_path / "export")
    labels, card = json.loads((export.folder / "labels.json").read_text()), (export.folder / "README.md").read_text()
    assert done.largest_difference < 1e-5 and labels["kind"] == export.kind == task(study)
    model = mer.load(export.folder)
    (answer,) = model.predict_clips([corpus / "dev1.wav"])
    if task(study) == "regression":
        assert set(answer.numbers) == {"loud", "high"} and not answer.label and answer.probabilities == {}
        assert "| number | CCC |" in card and "loud, high, as numbers" in card
        assert "Predicts numbers of an utterance" in card and "the prediction of loud, high" in card
        assert "which numbers annotators would probably give" in card and "its numbers: `dev_predictions.csv`" in card
    else:
        dev = read_scores(trial_folder(study.folder, 0) / ARTIFACTS / DEV_PREDICTIONS)
        assert labels["thresholds"] == export.thresholds == choose_label_thresholds(dev).above
        above = {name for name, chance in answer.probabilities.items() if chance > export.thresholds[name]}
        assert set(answer.labels) == above and answer.label == "; ".join(answer.labels)
        assert "A label is given where its probability is above its own threshold" in card
        assert "Predicts labels of an utterance" in card and "micro-F1 on dev" in card
    nothing = {"audio": (), "video": ()}
    predict(Request(export.folder, file=corpus / "dev.csv", out=tmp_path / "out.csv", clips=nothing), io.StringIO())
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert len(rows) == 12 and set(export.class_names) <= rows[0].keys()
    told = capsys.readouterr().err
    assert "12 labelled utterances: " + ("ccc" if task(study) == "regression" else "macro_f1") in told
    predict(
        Request(export.folder, json_lines=True, clips={"audio": (corpus / "dev1.wav",), "video": ()}), io.StringIO()
    )
    line = json.loads(capsys.readouterr().out)
    assert "numbers" in line if task(study) == "regression" else {"labels", "probabilities"} <= line.keys()
    predict(Request(export.folder, clips={"audio": (corpus / "dev1.wav",), "video": ()}), io.StringIO())
    assert export.class_names[0] in capsys.readouterr().out


def test_a_threshold_of_two_classes_is_refused(study, tmp_path):
    with pytest.raises(MerError, match="it is of two classes, and this model has data"):
        study.export(tmp_path / "export", threshold="dev_macro_f1")
    assert not (tmp_path / "export").exists()


def test_an_export_of_another_kind_or_with_odd_thresholds_is_refused(study, tmp_path):
    study.export(tmp_path / "export")
    path = tmp_path / "export" / "labels.json"
    whole = json.loads(path.read_text())
    for change, said in (({"kind": "class"}, "kind is class"), ({"thresholds": {"loud": 2.0}}, "thresholds are")):
        path.write_text(json.dumps(whole | change))
        manifest = json.loads((tmp_path / "export" / MANIFEST).read_text())
        manifest["sha256"]["labels.json"] = sha256_file(path)
        (tmp_path / "export" / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(MerError, match=said):
            read_export(tmp_path / "export")


def test_the_page_draws_numbers_or_lists_labels(study):
    sections = {one.anchor: one for one in study_sections(load_study(study.folder), study.folder / "r.html", {})}
    html = sections["targets"].html
    assert "classes" not in sections
    assert "mean absolute error" in html if task(study) == "regression" else "is_high" in html
