"""Thresholds of several labels in an evaluation: each seed's dev chooses them, and no row's label chooses its own."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from mer.config import TrialConfig
from mer.data.registry import folds_of
from mer.study.evaluate.at_threshold import at_label_thresholds
from mer.study.evaluate.fold_scores import FoldResult
from mer.study.evaluate.report_on_test import Evaluated, print_results, results_json
from mer.study.evaluate.seeds import SeedResult
from mer.study.folder.artifacts import predictions_csv
from mer.study.paths import ARTIFACTS, DEV_PREDICTIONS, TEST_PREDICTIONS
from mer.training.label_scores import MultilabelScores
from mer.training.label_thresholds import choose_label_thresholds

NAMES = ("happy", "loud")
ROWS = 48


def scores(seed: int) -> MultilabelScores:
    """Scores that are too low for the labels that they tell apart."""
    rng = np.random.default_rng(seed)
    labels_NC = (rng.random((ROWS, 2)) < [0.5, 0.2]).astype(np.float32)
    logits_NC = (rng.normal(size=(ROWS, 2)) + 3 * labels_NC - 3).astype(np.float32)
    return MultilabelScores(logits_NC, labels_NC, NAMES)


def seed_result(folder: Path, ids: tuple[str, ...], **more: Any) -> SeedResult:
    (folder / ARTIFACTS).mkdir(parents=True)
    dev, test = scores(1), scores(2)
    (folder / ARTIFACTS / DEV_PREDICTIONS).write_text(predictions_csv(dev, ids), encoding="utf-8")
    (folder / TEST_PREDICTIONS).write_text(predictions_csv(test, ids), encoding="utf-8")
    return SeedResult(0, 0, 3, {}, test.as_metrics("test"), test.logits_NC, folder, **more)


def test_each_seed_s_dev_chooses_and_test_is_scored_there(tmp_path: Path) -> None:
    ids = tuple(f"dia{n}_utt0" for n in range(ROWS))
    told = at_label_thresholds([seed_result(tmp_path / "seed", ids)])
    chosen = choose_label_thresholds(scores(1))
    assert told["seeds"][0]["above"] == pytest.approx(chosen.above) and max(chosen.above.values()) < 0.5
    at_them = chosen.shifted(scores(2)).macro_f1
    assert told["summary"]["test_macro_f1"]["mean"] == pytest.approx(at_them) and at_them > scores(2).macro_f1


def test_none_is_chosen_over_folds_where_dev_of_one_is_test_of_another(tmp_path: Path) -> None:
    lines = [f"line {n},{n % 2},{int(n % 5 == 0)},s{n % 6}" for n in range(ROWS)]
    (tmp_path / "own.csv").write_text("\n".join(["text,happy,loud,speaker", *lines, ""]), encoding="utf-8")
    data = {"dataset": "csv", "root": str(tmp_path / "own.csv"), "task": "multilabel", "targets": list(NAMES)}
    config = TrialConfig.model_validate(
        {"data": data | {"folds": {"k": 3}}, "encoders": {"text": {}}, "training": {"metric": "dev_macro_f1"}}
    )
    folds = folds_of(config.data)
    assert folds is not None and set(folds.dev_rows) == set(folds.test_rows) == set(range(ROWS))
    ids, test = tuple(folds.ids[row] for row in folds.test_rows), scores(2)
    parts = tuple(
        FoldResult(name=one.name, train=len(one.train), test=len(one.test), metrics=test.as_metrics("test"))
        for one in folds.folds
    )
    result, out = seed_result(tmp_path / "seed", ids, folds=parts), io.StringIO()
    rows: Any = type("Rows", (), {"ids": ids, "labels_N": test.labels_N})()
    one = Evaluated("several", "exports/several", config, [result], rows, list(NAMES))
    told = results_json(one, [], "python -m mer.evaluate exports/several")
    print_results(Console(file=out, width=200), one, told)
    assert "at_threshold" not in told and "thresholds" not in out.getvalue() and "sd over folds" in out.getvalue()
