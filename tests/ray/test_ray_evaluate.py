"""Export, seed repeats, re-ranking and verification of the small study, through the commands."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from conftest_ray import Commands, Workshop, histories, records, wait_until
from sklearn.metrics import accuracy_score, f1_score

pytestmark = pytest.mark.ray


class Desk(Commands):
    """A private copy of the finished study and the corpus, with commands typed in its folder."""

    def __init__(self, home: Path, workshop: Workshop, uninterrupted: Path) -> None:
        self.home, self.corpus, self.starter = home, home / "corpus", workshop.starter
        shutil.copytree(uninterrupted, home / "studies")
        shutil.copytree(workshop.home / "corpus", self.corpus)
        shutil.copytree(workshop.cache, home / "features")

    def seeds_study(self) -> Path:
        (found,) = self.home.glob("studies/eval-meld-spcl-*")
        return found


@pytest.fixture(scope="module")
def desk(workshop: Workshop, uninterrupted: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    made = Desk(tmp_path_factory.mktemp("desk"), workshop, uninterrupted)
    made.run("mer.export", "studies/small", "--out", "exports/best")
    return made


def evaluate(desk: Desk, *seeds: str, code: int = 0) -> str:
    root = ("--data-root", str(desk.corpus))
    return desk.run("mer.evaluate", "exports/best", *root, "--seeds", *seeds, code=code)


def test_test_is_read_after_all_training_and_once_per_seed(desk: Desk) -> None:
    """With an unreadable test split every seed is still trained; only then does the command stop. Once the file is
    mended nothing is trained again, and a further seed leaves the first ones' test scores untouched."""
    csv = desk.corpus / "test_sent_emo.csv"
    whole = csv.read_bytes()
    csv.write_bytes(b"this is no table\n")
    refusal = evaluate(desk, "0", "42", code=2)
    assert "test_sent_emo.csv" in refusal
    study = desk.seeds_study()
    trained = histories(study)
    assert sorted(trained) == [0, 1] and not list(study.glob("trials/*/test.json"))

    csv.write_bytes(whole)
    output = evaluate(desk, "0", "42")
    assert histories(study) == trained
    assert "95 % over seeds (t)" in output
    told = json.loads((study / "results.json").read_text())
    assert [row["seed"] for row in told["seeds"]] == [0, 42]
    recorded = {file: file.stat().st_mtime_ns for file in study.glob("trials/*/test.json")}
    assert len(recorded) == 2

    evaluate(desk, "0", "42", "7")
    assert {file: file.stat().st_mtime_ns for file in recorded} == recorded
    assert histories(study).keys() == {0, 1, 2}
    _, children = records(desk.home / "studies", study.name)
    assert len(children) == 3 and all("test_weighted_f1" in child.data.metrics for child in children)


def test_results_are_those_of_the_predictions(desk: Desk) -> None:
    evaluate(desk, "0", "42")
    study = desk.seeds_study()
    told = json.loads((study / "results.json").read_text())
    scores = []
    for row in told["seeds"]:
        table = np.genfromtxt(
            study / "trials" / f"{row['trial']:05d}" / "test_predictions.csv", delimiter=",", dtype=str, skip_header=1
        )
        true, predicted = table[:, 1], table[:, 2]
        assert row["test"]["test_accuracy"] == pytest.approx(accuracy_score(true, predicted))
        assert row["test"]["test_weighted_f1"] == pytest.approx(f1_score(true, predicted, average="weighted"))
        scores.append(row["test"]["test_weighted_f1"])
    summary = told["summary"]["test_weighted_f1"]
    assert summary["mean"] == pytest.approx(np.mean(scores)) and summary["sd"] == pytest.approx(np.std(scores, ddof=1))
    assert told["label"] == "T--EF(minilm)" and told["method"].startswith("spcl(temp=")
    assert "| **spcl(" in (study / "results.md").read_text()


@pytest.mark.faults
def test_a_killed_evaluation_goes_on(desk: Desk, workshop: Workshop, uninterrupted: Path, tmp_path: Path) -> None:
    other = Desk(tmp_path, workshop, uninterrupted)
    shutil.copytree(desk.home / "exports", other.home / "exports")
    arguments = (
        "mer.evaluate",
        "exports/best",
        "--data-root",
        str(other.corpus),
        "--seeds",
        "0",
        "42",
        "--workers",
        "1",
    )
    process = other.start(*arguments)
    wait_until(
        lambda: list(other.home.glob("studies/eval-*/trials/*/last.safetensors")) != [] or process.poll() is not None
    )
    process.send_signal(signal.SIGKILL)
    process.communicate()
    other.run(*arguments)
    evaluate(desk, "0", "42")
    assert histories(other.seeds_study()) == {n: rows for n, rows in histories(desk.seeds_study()).items() if n < 2}


def test_reranking_chooses_by_mean_dev_and_leaves_test_alone(desk: Desk) -> None:
    csv = desk.corpus / "test_sent_emo.csv"
    whole = csv.read_bytes()
    csv.write_bytes(b"nobody may read this\n")
    try:
        root = ("--data-root", str(desk.corpus))
        output = desk.run("mer.evaluate", "--top-k-from", "studies/small", "--top-k", "2", *root, "--seeds", "1", "2")
    finally:
        csv.write_bytes(whole)
    ranked = json.loads((desk.home / "studies/small/rerank.json").read_text())
    assert all(entry["n"] == 2 for entry in ranked)
    assert [entry["mean"] for entry in ranked] == sorted((entry["mean"] for entry in ranked), reverse=True)
    assert f"--trial {ranked[0]['trial']}" in output and "python -m mer.export" in output
    assert re.search(r"^report: +\S*studies/small/report\.html$", output, re.MULTILINE)
    assert "Best trials over seeds" in (desk.home / "studies/small/report.html").read_text()


def test_a_trial_is_verified_and_a_changed_record_is_not(desk: Desk) -> None:
    study = desk.home / "studies" / "small"
    root = ("--data-root", str(desk.corpus))
    assert "every number of every epoch came back" in desk.run("mer.verify", "studies/small", "--trial", "0", *root)
    history = study / "trials" / "00000" / "artifacts" / "history.csv"
    whole = history.read_text()
    first = whole.splitlines()[1].split(",")[1]
    history.write_text(whole.replace(first, "0.123", 1))
    try:
        output = desk.run("mer.verify", "studies/small", "--trial", "0", *root, code=1)
        assert "NOT verified" in output and "was 0.123" in output
    finally:
        history.write_text(whole)
    assert "no recorded trial is there" in desk.run("mer.verify", "studies/small", "--trial", "99", code=2)


def test_an_ensemble_of_seeds_is_evaluated_over_groups(desk: Desk) -> None:
    """Its members are two seeds of one configuration; every group has two runs that no other group has."""
    evaluate(desk, "0", "42")
    (study,) = (file.parent for file in desk.home.glob("studies/eval-meld-spcl-*/results.json"))  # others: candidates
    for trial in ("0", "1"):
        desk.run("mer.export", str(study), "--trial", trial, "--out", f"exports/seed{trial}")
    desk.run("mer.export", "--ensemble", "exports/seed0", "exports/seed1", "--out", "exports/together")
    said = desk.run("mer.evaluate", "exports/together", "--data-root", str(desk.corpus), "--seeds", "0", "42")
    assert "ensemble of 2: 2 x spcl(" in said
    (place,) = desk.home.glob("studies/eval-ensemble-*")
    told = json.loads((place / "results.json").read_text())
    groups = told["ensemble"]["groups"]
    assert [row["seed"] for row in told["seeds"]] == [0, 42] and len({*groups["0"], *groups["42"]}) == 4
    numbers = {json.loads(file.read_text())["seed"]: file.parent for file in study.glob("trials/*/test.json")}
    for row in told["seeds"]:
        mean = 0.0
        for seed in groups[str(row["seed"])]:
            table = np.genfromtxt(numbers[seed] / "test_predictions.csv", delimiter=",", dtype=str, skip_header=1)
            z = table[:, 3:].astype(float)
            mean = mean + np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        names = sorted(set(table[:, 1]))
        header = (numbers[seed] / "test_predictions.csv").read_text().splitlines()[0].split(",")[3:]
        predicted = [header[best].removeprefix("logit_") for best in np.asarray(mean).argmax(axis=1)]
        expected = f1_score(table[:, 1], predicted, average="weighted", labels=names)
        assert row["test"]["test_weighted_f1"] == pytest.approx(expected)
    refusal = desk.run("mer.evaluate", "exports/together", "--against", "exports/best", "--seeds", "0", code=2)
    assert "is an ensemble, whose seeds are groups of runs" in refusal
    desk.run("mer.evaluate", "exports/together", "--data-root", str(desk.corpus), "--seeds", "0", "--dev-only")
    assert json.loads((place / "dev_results.json").read_text())["method"].startswith("ensemble of 2")
