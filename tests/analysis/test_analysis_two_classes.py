"""The report of a study with two classes shows ROC and precision-recall curves; one with more has no such section."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import small_study
from sklearn.metrics import average_precision_score, roc_auc_score

from analysis.report import write_report
from analysis.stores.journal import find_study, load_study
from analysis.study_page.two_classes import TITLE

ENDINGS = [small_study.Ending("finished", seed) for seed in range(2)]


def report(tmp_path) -> tuple[str, dict[str, str], object]:
    folder = small_study.make_study(tmp_path / "studies", ENDINGS)
    study = load_study(find_study(str(folder), tmp_path), with_mlflow=False)
    tables = write_report(study, tmp_path / "page.html")
    file = tables / "two_classes.csv"
    rows = dict(list(csv.reader(file.open()))[1:]) if file.exists() else {}
    return (tmp_path / "page.html").read_text(), rows, study.predictions(study.best)


def test_the_curves_are_those_of_the_rarer_class(tmp_path, monkeypatch):
    monkeypatch.setattr(small_study, "NAMES", ("neutral", "anger"))  # two thirds are neutral
    page, table, predictions = report(tmp_path)
    margins = predictions.scores_NC[:, 1] - predictions.scores_NC[:, 0]
    angry = predictions.true_N == 1
    assert table["positive class"] == "anger" and float(table["share"]) == pytest.approx(1 / 3)
    assert float(table["ROC AUC"]) == pytest.approx(roc_auc_score(angry, margins), abs=1e-12)
    assert float(table["average precision"]) == pytest.approx(average_precision_score(angry, margins), abs=1e-12)
    by_hand = np.mean(
        [margins[i] > margins[j] for i in np.flatnonzero(angry) for j in np.flatnonzero(~np.array(angry))]
    )
    assert float(table["ROC AUC"]) == pytest.approx(by_hand)
    assert TITLE in page and f"ROC AUC {100 * by_hand:.2f}" in page and 'aria-label="precision and recall"' in page


def test_more_classes_have_none(tmp_path):
    page, table, _ = report(tmp_path)
    assert TITLE not in page and table == {}
