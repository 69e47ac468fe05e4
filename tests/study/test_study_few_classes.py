"""Data with fewer classes than their reader knows: macro-F1 is over those that are there, and the user is told."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import f1_score
from study_helpers import make_spec

from mer.errors import MerError
from mer.study import runner
from mer.study.evaluate.report_on_test import Evaluated, print_results, results_json
from mer.study.evaluate.seeds import SeedResult
from mer.study.preflight.dry_run import dry_run
from mer.study.preflight.objective_classes import refuse_unscored_classes
from mer.study.preflight.run_options import RunOptions
from mer.training import Scores, SplitArrays

sys.path.append(str(Path(__file__).parents[1] / "data"))

from meld_files import meld_csv

WORDS = "macro-F1 and UA over the 2 classes that {} has (neutral, anger); 5 of 7 have no utterance there"
NAMES = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")


@pytest.fixture
def two_classes(tmp_path: Path) -> Path:
    """A root in MELD's layout where everybody is neutral or angry, except for one joyful utterance of train."""
    root = tmp_path / "data"
    root.mkdir()
    for split in ("train", "dev"):
        rows = [
            {
                "Utterance": f"Well {i}",
                "Dialogue_ID": i // 3,
                "Utterance_ID": i % 3,
                "Emotion": "joy" if (split, i) == ("train", 1) else ("neutral", "anger")[i % 3 == 0],
            }
            for i in range(9)
        ]
        (root / f"{split}_sent_emo.csv").write_text(meld_csv(*rows))
    return root


@pytest.mark.slow
def test_a_study_says_so_once_at_its_start_and_in_its_summary(tmp_path, two_classes, monkeypatch):
    monkeypatch.setattr(runner, "run_trials", lambda *_: None)
    spec, said = make_spec(tmp_path, overrides=(f"data.root={two_classes}",)), io.StringIO()
    options = runner.RunOptions(tmp_path / "studies", tmp_path / "features")
    words = "macro-F1 and UA over the 2 classes that dev has (neutral, anger); 1 of 3 has no utterance there"
    with pytest.raises(MerError, match="Ray has ended"):  # nothing was trained
        runner.run_study(spec, options, Console(file=said, width=200))
    assert said.getvalue().count(words) == 1 and f"\nnote: {words}\n" in said.getvalue()
    written = json.loads((tmp_path / "studies" / "small" / "summary.json").read_text())
    assert written["macro_f1"] == words
    # two thirds are neutral: F1 .8 and 0
    assert written["baseline_majority"]["dev_macro_f1"] == pytest.approx(0.4)


def test_an_evaluation_averages_over_them_and_says_so(tmp_path):
    rng = np.random.default_rng(0)
    labels_N = np.array([0, 6] * 30)
    results = []
    for seed in (0, 1):
        logits_NC = rng.normal(size=(60, 7)).astype(np.float32)
        scores = Scores(logits_NC, labels_N, NAMES)
        results.append(SeedResult(seed, seed, 1, {}, scores.as_metrics("test"), logits_NC, tmp_path))
    ids = tuple(f"test/dia{i // 6}_utt{i}" for i in range(60))
    test = SplitArrays(ids, np.empty((60, 0, 0), dtype=np.float16), labels_N)
    config = make_spec(tmp_path).trial_config({"optim.head_lr": 1e-3, "head.hidden": 8})
    one = Evaluated("two", "exports/two", config, results, test, list(NAMES))
    told, said = results_json(one, [], "python -m mer.evaluate"), io.StringIO()
    print_results(Console(file=said, width=200), one, told)
    words = WORDS.format("test")
    assert told["macro_f1"] == words and f"note: {words}" in said.getvalue()
    macro, known = told["summary"]["test_macro_f1"], {"labels": [0, 6], "average": "macro"}
    predicted = [result.test_logits_NC.argmax(axis=1) for result in results]
    assert macro["mean"] == pytest.approx(np.mean([f1_score(labels_N, one, **known) for one in predicted]))
    low, high = macro["bootstrap_interval"]
    assert low < macro["mean"] < high


@pytest.mark.parametrize(
    ("metric", "found"),
    [
        ("dev_unweighted_accuracy", None),
        ("dev_recall_anger", None),
        ("dev_f1_neutral", None),
        ("dev_recall_disgust", "no utterance of dev is 'disgust': it would be 0 in every trial"),
        ("dev_f1_disgust", "no utterance of dev is 'disgust': it would be 0 in every trial"),
        ("dev_recall_happy", "no such class"),
    ],
)
def test_an_objective_of_a_class_needs_that_class_in_dev(tmp_path, metric, found):
    spec = make_spec(tmp_path, overrides=(f"objective.metric={metric}",))
    labels_N = np.array([0, 6] * 3)
    if found is None:
        refuse_unscored_classes(spec, "class", NAMES, labels_N)
        return
    with pytest.raises(MerError) as refused:
        refuse_unscored_classes(spec, "class", NAMES, labels_N)
    kind = metric.rpartition("_")[0]
    assert refused.value.found.startswith(f"{metric!r}: {found}.")
    assert refused.value.allowed == f"{kind}_neutral, {kind}_anger"


@pytest.mark.parametrize("metric", ["test_unweighted_accuracy", "test_recall_anger"])
def test_test_scores_stay_refused_as_objectives(tmp_path, metric):
    with pytest.raises(MerError, match="would select on the test split"):
        make_spec(tmp_path, overrides=(f"objective.metric={metric}",))


@pytest.mark.parametrize(("name", "why"), [("joy", "no utterance of dev is 'joy'"), ("fear", "no such class")])
def test_a_dry_run_refuses_what_the_study_would(tmp_path, two_classes, name, why):
    spec = make_spec(tmp_path, overrides=(f"data.root={two_classes}", f"objective.metric=dev_recall_{name}"))
    with pytest.raises(MerError, match=f"'dev_recall_{name}': {why}"):
        dry_run(spec, RunOptions(tmp_path / "studies", tmp_path / "features"), Console(file=io.StringIO()))
