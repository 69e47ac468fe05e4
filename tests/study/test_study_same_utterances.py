"""A model on transcripts of its own corpus against itself on gold text: recorded predictions, paired."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.config import DataConfig
from mer.data.registry import unit_of
from mer.study.evaluate import same_utterances
from mer.study.evaluate.label_map import LabelMap, label_map
from mer.study.evaluate.same_utterances import against_own
from mer.study.evaluate.seeds import SeedResult
from mer.study.evaluate.target_map import target_map
from mer.study.folder.artifacts import predictions_csv
from mer.study.paths import ARTIFACTS, DEV_PREDICTIONS, TEST_PREDICTIONS
from mer.training import Scores, SplitArrays
from mer.training.number_scores import RegressionScores

NAMES = ("neutral", "joy", "anger")
IDS = tuple(f"test/dia{dialogue}_utt{turn}" for dialogue in range(8) for turn in range(6))
LABELS = np.arange(len(IDS)) % 3
NAMED = ("gold", "heard")


def scores(right: float, seed: int) -> np.ndarray:
    """Class scores of which about that share is right."""
    rng = np.random.default_rng(seed)
    said = np.where(rng.random(len(IDS)) < right, LABELS, (LABELS + 1) % 3)
    return np.eye(3, dtype=np.float32)[said] * 3


@pytest.fixture
def known(tmp_path: Path) -> dict[str, Any]:
    """Three seeds, right on test nine times in ten; on what was heard half as often."""
    results = []
    for number in range(3):
        folder = tmp_path / str(number)
        (folder / ARTIFACTS).mkdir(parents=True)
        text = predictions_csv(Scores(scores(0.9, number), LABELS, NAMES), IDS)
        (folder / TEST_PREDICTIONS).write_text(text, encoding="utf-8")
        results.append(SeedResult(number, number, 1, {}, None, None, folder))
    target = SplitArrays(IDS, np.zeros((len(IDS), 1, 1), np.float16), LABELS)
    return {
        "results": results, "logits": [scores(0.5, 10 + n) for n in range(3)], "target": target,
        "mapped": label_map(NAMES, NAMES, None), "data": DataConfig(), "split": "test", "names": NAMED,
    }  # fmt: skip


def test_the_difference_is_paired_by_seed_and_by_dialogue(known: dict[str, Any]) -> None:
    told = against_own(**known)
    assert told is not None and told["against"] == "the model on heard"
    own = [Scores(scores(0.9, n), LABELS, NAMES).as_metrics("on")["on_weighted_f1"] for n in range(3)]
    other = [Scores(z, LABELS, NAMES).as_metrics("on")["on_weighted_f1"] for z in known["logits"]]
    assert told["seeds"]["difference"] == pytest.approx(np.mean(own) - np.mean(other))
    assert told["dialogues"]["n"] == 8 and told["seeds"]["n"] == 3
    assert told["verdict"].startswith("the model on gold is above the model on heard by ")


def test_dev_is_read_where_the_trials_left_it(known: dict[str, Any]) -> None:
    assert against_own(**known | {"split": "dev"}) is None
    for result in known["results"]:
        text = (result.folder / TEST_PREDICTIONS).read_text(encoding="utf-8")
        (result.folder / ARTIFACTS / DEV_PREDICTIONS).write_text(text, encoding="utf-8")
    assert against_own(**known | {"split": "dev"}) is not None and against_own(**known | {"split": "train"}) is None


def test_other_utterances_labels_and_classes_are_not_compared(known: dict[str, Any]) -> None:
    target = known["target"]
    assert against_own(**known | {"target": replace(target, ids=(*IDS[:-1], "test/dia9_utt9"))}) is None
    assert against_own(**known | {"target": replace(target, labels_N=(LABELS + 1) % 3)}) is None
    missing = LabelMap(NAMES, NAMES[:2], {name: name for name in NAMES[:2]})
    assert against_own(**known | {"mapped": missing}) is None
    (known["results"][1].folder / TEST_PREDICTIONS).unlink()
    assert against_own(**known) is None, "a seed is not scored on test, and nobody reads it for that"


def test_numbers_are_compared_as_classes_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_utterances, "unit_of", lambda data, split: unit_of(DataConfig(), split))
    rng = np.random.default_rng(0)
    truth = rng.uniform(-3, 3, (len(IDS), 1)).astype(np.float32)
    near, far = (truth + rng.normal(0, wide, truth.shape).astype(np.float32) for wide in (0.2, 2.0))
    text = predictions_csv(RegressionScores(near, truth, ("sentiment",), (-3.0, 3.0)), IDS)
    (tmp_path / TEST_PREDICTIONS).write_text(text, encoding="utf-8")
    mapped = target_map("regression", ("sentiment",), ("sentiment",), None)
    data = DataConfig(dataset="mosi", task="regression", range=(-3, 3))
    told = against_own(
        [SeedResult(0, 0, 1, {}, None, None, tmp_path)], [far],
        SplitArrays(IDS, np.zeros((len(IDS), 1, 1), np.float16), truth), mapped, data, "test", NAMED,
    )  # fmt: skip
    assert told is not None
    own, other = (RegressionScores(one, truth, ("sentiment",), (-3.0, 3.0)).ccc for one in (near, far))
    assert told["seeds"]["difference"] == pytest.approx(own - other)
