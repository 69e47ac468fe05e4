"""Two classes, from their data to an export: scores of scikit-learn; a threshold that dev chose and predict keeps."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from open_study import OpenStudy, begin_study, quiet
from sklearn.metrics import balanced_accuracy_score, f1_score

import mer
from mer.checkpoints.export_folder import MANIFEST, read_export
from mer.errors import MerError
from mer.files import sha256_file
from mer.study.evaluate.at_threshold import at_thresholds, threshold_line
from mer.study.evaluate.seeds import SeedResult
from mer.study.export.choose import ExportOptions
from mer.study.export.write import export_study
from mer.study.folder.read_study import read_record
from mer.study.folder.recorded import read_scores
from mer.study.paths import ARTIFACTS, DEV_PREDICTIONS, trial_folder

sys.path.append(str(Path(__file__).parents[1] / "data"))

from meld_files import meld_csv

SPACE = """study: two
trainable: text
budget: {trials: 1, epochs: 2}
scheduler: {kind: none}
fixed:
  data: {dataset: READER, root: CORPUS}
  encoders: {text: {backbone: minilm, layers: [-1]}}
  head: {hidden: 8}
params:
  optim.head_lr: {float: [1e-3, 2e-3]}
"""


def write_rows(root: Path, **rows: list[tuple[str, str]]) -> Path:
    root.mkdir(exist_ok=True)
    for split, pairs in rows.items():
        with (root / f"{split}.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("text", "label"), *pairs])
    return root


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> OpenStudy:
    """Neutral is three times as frequent as anger, so that the answers as they are favour it."""
    place, rng = tmp_path_factory.mktemp("two"), np.random.default_rng(0)
    says = {"neutral": ("the tea is warm", "we sat by the sea", "fine"), "anger": ("go away now", "how dare you", "no")}
    root = place / "corpus"
    root.mkdir()
    for split, count in (("train", 48), ("dev", 32)):
        labels = ["anger" if number % 4 == 0 else "neutral" for number in range(count)]
        turns = [
            {"Dialogue_ID": number, "Emotion": label, "Utterance": f"{rng.choice(says[label])}, again {number}"}
            for number, label in enumerate(labels)
        ]
        (root / f"{split}_sent_emo.csv").write_text(meld_csv(*turns))
    begun = begin_study(SPACE, place, CORPUS=root, READER="meld")
    begun.train_next()
    return begun


def exported(study: OpenStudy, out: Path, threshold: str = "") -> Path:
    options = ExportOptions(out=out, cache=study.cache, threshold=threshold)
    export_study(read_record(study.folder), options, quiet())
    return out


def test_two_classes_have_the_scores_of_scikit_learn(study):
    scores = read_scores(trial_folder(study.folder, 0) / ARTIFACTS / DEV_PREDICTIONS)
    (best,) = [standing.best for standing in read_record(study.folder).standings]
    assert scores.class_names == ("neutral", "anger")
    true, said = scores.labels_N, scores.predicted_N
    assert best["dev_macro_f1"] == pytest.approx(f1_score(true, said, average="macro"), abs=1e-12)
    assert best["dev_unweighted_accuracy"] == pytest.approx(balanced_accuracy_score(true, said), abs=1e-12)


def test_predict_answers_at_the_threshold_and_the_card_says_what_dev_gained(study, tmp_path):
    plain, moved = exported(study, tmp_path / "plain"), exported(study, tmp_path / "moved", "dev_macro_f1")
    export = read_export(moved)
    chosen = export.provenance["threshold"]
    assert export.threshold == chosen["at_least"] and read_export(plain).threshold is None
    assert chosen["after"] >= chosen["before"] and chosen["metric"] == "macro_f1" and chosen["name"] == "anger"
    texts = [f"{say} {number}" for number, say in enumerate(["the tea is warm", "go away", "how dare you", "fine"] * 4)]
    answers, as_they_are = mer.load(moved).predict(texts), mer.load(plain).predict(texts)
    for answer, other in zip(answers, as_they_are, strict=True):
        assert answer.probabilities == other.probabilities
        assert answer.label == ("anger" if answer.probabilities["anger"] >= chosen["at_least"] else "neutral")
        assert other.label == max(other.probabilities, key=other.probabilities.__getitem__)
    card = (moved / "README.md").read_text()
    assert f"answers anger where its probability is at least {chosen['at_least']:.4f}" in card
    assert f"by macro_f1: {100 * chosen['after']:.2f} there, {100 * chosen['before']:.2f} at 0.5" in card
    assert "threshold" not in (plain / "README.md").read_text()


@pytest.mark.parametrize("threshold", [0.0, 1.0, 2, "0.5", float("nan"), [0.5]])
def test_an_edited_threshold_is_refused(study, tmp_path, threshold):
    folder = exported(study, tmp_path / "moved", "dev_accuracy")
    labels, manifest = folder / "labels.json", folder / MANIFEST
    labels.write_text(json.dumps(json.loads(labels.read_text()) | {"threshold": threshold}))
    listed = json.loads(manifest.read_text())
    listed["sha256"]["labels.json"] = sha256_file(labels)
    manifest.write_text(json.dumps(listed))
    with pytest.raises(MerError, match="threshold is"):
        read_export(folder)


def test_a_metric_without_a_threshold_leaves_nothing(study, tmp_path):
    with pytest.raises(MerError, match="no threshold is chosen by 'loss'"):
        exported(study, tmp_path / "no", "dev_loss")
    assert not (tmp_path / "no").exists()


def test_an_evaluation_chooses_a_threshold_for_each_seed_on_dev(tmp_path):
    """Test is scored at dev's threshold, not at its own."""
    rng, results = np.random.default_rng(1), []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        (folder / ARTIFACTS).mkdir(parents=True)
        for file, shift in ((folder / ARTIFACTS / DEV_PREDICTIONS, 2.0), (folder / "test_predictions.csv", 0.0)):
            labels = np.arange(80) % 4 == 0
            margins = rng.normal(size=80) + 2.0 * labels - shift
            lines = ["id,true,predicted,logit_neutral,logit_anger"]
            lines += [
                f"x/d{i}_utt0,{('neutral', 'anger')[int(label)]},neutral,0.0,{m}"
                for i, (label, m) in enumerate(zip(labels, margins, strict=True))
            ]
            file.write_text("\n".join(lines) + "\n")
        results.append(SeedResult(seed, seed, 1, {}, {}, None, folder))
    told = at_thresholds(results, "macro_f1")
    assert all(row["at_least"] < 0.5 for row in told["seeds"])  # dev's scores of anger are too low by 2
    for row, result in zip(told["seeds"], results, strict=True):
        test = read_scores(result.folder / "test_predictions.csv")
        said = test.logits_NC[:, 1] >= np.log(row["at_least"] / (1 - row["at_least"]))
        assert row["test"]["test_macro_f1"] == pytest.approx(f1_score(test.labels_N, said, average="macro"), abs=1e-12)
    line = threshold_line(told)
    assert line.startswith("at the threshold that dev chose for each seed (macro-F1; 0.") and "UA " in line


@pytest.mark.real
@pytest.mark.slow
def test_neutral_against_anger_of_meld_has_the_macro_f1_of_scikit_learn(real_data, tmp_path):
    root, rows = real_data("meld"), {}
    for split, most in (("train", 400), ("dev", 10_000)):
        with (root / f"{split}_sent_emo.csv").open(newline="", encoding="utf-8") as stream:
            found = [
                (r["Utterance"], r["Emotion"]) for r in csv.DictReader(stream) if r["Emotion"] in ("neutral", "anger")
            ]
        rows[split] = found[:most]
    begun = begin_study(SPACE, tmp_path, CORPUS=write_rows(tmp_path / "corpus", **rows), READER="csv")
    begun.train_next()
    scores = read_scores(trial_folder(begun.folder, 0) / ARTIFACTS / DEV_PREDICTIONS)
    (best,) = [standing.best for standing in read_record(begun.folder).standings]
    assert len(scores.labels_N) == 623 and scores.class_names == ("neutral", "anger")
    expected = f1_score(scores.labels_N, scores.predicted_N, average="macro")
    assert best["dev_macro_f1"] == pytest.approx(expected, abs=1e-12)
