"""A trial, exported and opened again, gives the scores it was chosen for."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from export_helpers import ANCHOR, BARE, CENTER, CUT, HEAD, Made
from open_study import quiet

import mer
from mer.checkpoints import load_tensors, save_tensors
from mer.checkpoints.export_folder import read_export
from mer.errors import MerError
from mer.features import load_features
from mer.study.export.choose import ExportOptions
from mer.study.export.write import export_study
from mer.training.metrics import Scores

WITHOUT = """
import sys

class Without:
    # As if they were not installed: a library that only asks whether mlflow is there must hear no, not an error.
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        absent = name.split(".")[0] in ("ray", "optuna", "mlflow")
        return None if absent else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
try:
    import mlflow
except ModuleNotFoundError:
    pass
else:
    sys.exit("mlflow was not hidden")
import mer
assert "torch" not in sys.modules, "import mer must stay cheap"
model = mer.load(sys.argv[1])
found = model.predict(["Oh my God!"])[0]
assert not {"ray", "optuna", "mlflow"} & set(sys.modules)
print(found.label, sum(found.probabilities.values()))
"""


@pytest.mark.parametrize("number", [HEAD, CENTER, ANCHOR, CUT], ids=["head", "center", "adapted-anchor", "word-anchor"])
def test_every_kind_of_prediction_comes_back(small_study: Made, tmp_path, number):
    done = small_study.export(tmp_path / "model", trial=number)
    run = small_study.runs[number]
    predictor = mer.load(tmp_path / "model")
    dev = load_features(small_study.plan.files[next(iter(small_study.plan.files))]["dev"])
    assert np.abs(predictor.logits(dev.features) - run.member.best.logits_NC).max() <= 1e-5
    assert done.largest_difference <= 1e-5
    assert read_export(tmp_path / "model").config == run.config


def test_the_default_is_the_best_finished_trial(small_study: Made, tmp_path):
    finished = {n: small_study.runs[n].member.best.row["dev_weighted_f1"] for n in (HEAD, CENTER, ANCHOR, BARE)}
    best = max(finished, key=lambda n: (finished[n], -n))
    assert best != BARE, "the helper's trial without weights must not win"
    done = small_study.export(tmp_path / "best")
    assert done.standing.number == best == read_export(tmp_path / "best").provenance["trial"]


def test_top_k_are_numbered_by_rank(small_study: Made, tmp_path):
    options = ExportOptions(out=tmp_path / "some/model", top=2, cache=small_study.cache)
    done = export_study(small_study.record(), options, quiet())
    assert [d.export.folder.name for d in done] == ["model-1", "model-2"]
    ranked = small_study.record().ranked
    assert [d.standing.number for d in done] == [s.number for s in ranked[:2]]
    assert sorted(path.name for path in (tmp_path / "some").iterdir()) == ["model-1", "model-2"]


def test_names_without_out(small_study: Made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export_study(small_study.record(), ExportOptions(trial=CUT, cache=small_study.cache), quiet())
    assert [path.name for path in (tmp_path / "exports").iterdir()] == ["small-00004"]
    card = (tmp_path / "exports/small-00004/README.md").read_text()
    assert "The trial was stopped early by the search" in card


def test_the_folder(exported, small_study: Made):
    folder = exported.folder
    files = {path.name for path in folder.iterdir()}
    assert files == {
        *("model.safetensors", "config.json", "labels.json", "preprocessor.json", "provenance.json"),
        *("dev_predictions.csv", "per_class.csv", "confusion.svg", "README.md", "MANIFEST.json"),
    }
    hashes = json.loads((folder / "MANIFEST.json").read_text())["sha256"]
    assert hashes == {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in files - {"MANIFEST.json"}}
    assert not list(folder.parent.glob(".*"))
    run, come = small_study.runs[HEAD], exported.provenance
    assert come["dev_metrics"] == run.member.best.row and come["epoch"] == run.member.best.row["epoch"]
    assert come["params"] == {"training.prediction": "head", "optim.head_lr": 2e-3}
    assert come["environment"]["git_sha"] == "sha-0" and come["generation"] == small_study.record().generation
    assert come["features"] == small_study.plan.names()[next(iter(small_study.plan.files))]
    assert come["objective"] == [{"metric": "dev_weighted_f1", "mode": "max"}] and come["backbone"]["name"] == "minilm"
    reads = exported.preprocessor
    assert reads["layers"] == [2, 6] and reads["hidden_states"] == 7 and reads["input"]["past"] == 2
    assert not any(name.startswith("objective") for name in exported.tensors()), "prediction by the head needs none"
    rows = list(csv.DictReader((folder / "dev_predictions.csv").open(newline="")))
    logits = np.array([[float(row[f"logit_{name}"]) for name in exported.class_names] for row in rows])
    assert np.array_equal(logits.astype(np.float32), run.member.best.logits_NC)


def test_the_card_says_what_matters(exported, small_study: Made):
    card = (exported.folder / "README.md").read_text()
    run = small_study.runs[HEAD]
    scores = Scores(run.member.best.logits_NC, run.data.dev.labels_N, run.data.class_names)
    assert f"| dev_weighted_f1 | {100 * scores.weighted_f1:.2f} |" in card
    for row in scores.per_class():
        assert f"| {row['class']} | {100 * row['precision']:.2f} | {100 * row['recall']:.2f} |" in card
    for words in (
        "![",
        "confusion.svg",
        "mer.load(",
        "mer.evaluate",
        "Apache-2.0",
        "CC0",
        "dev** split",
        "2 earlier turns",
    ):
        assert words in card, words
    assert "| `optim.head_lr` * | 0.002 |" in card and "| `head.hidden` | 24 |" in card
    assert "http" not in card


def test_the_card_of_real_meld_names_its_licences():
    from mer.study.export.card_facts import backbone_terms, dataset_facts

    terms = dataset_facts("meld").terms
    assert "research use" in terms and "GPL-3.0" in terms and "copyrighted" in terms
    assert "see its card" in backbone_terms("roberta-large", False)


def test_an_export_that_does_not_repeat_its_scores_is_not_written(study_copy: Made, tmp_path):
    best = study_copy.folder / "trials/00000/best.safetensors"
    tensors, card = load_tensors(best)
    tensors["model.classifier.bias"] = tensors["model.classifier.bias"] + 1e-3 * torch.arange(7)
    save_tensors(best, tensors, card)
    with pytest.raises(MerError, match=r"differ from the trial's by up to 0\.006.*nothing was written") as caught:
        study_copy.export(tmp_path / "out/model", trial=HEAD)
    assert "at most 1e-05" in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_bundle_carries_and_uses_its_backbone(small_study: Made, tmp_path, monkeypatch):
    folder = small_study.export(tmp_path / "model", trial=HEAD, bundle=True).export.folder
    monkeypatch.setattr("mer.features.backbone.files.MINILM_PACKAGE", "no_such_package")
    found = mer.load(folder)
    assert found.encoders["text"].found.folder == folder / "backbone"
    assert found.predict(["I know."])[0].label in found.class_names
    (folder / "backbone/tokenizer.json").write_text("{}")
    with pytest.raises(MerError, match="truncated or edited"):
        mer.load(folder)


@pytest.mark.slow
def test_loads_without_ray_optuna_and_mlflow(exported):
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(exported.folder)], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    label, total = ended.stdout.split()
    assert label in exported.class_names and float(total) == pytest.approx(1.0)
