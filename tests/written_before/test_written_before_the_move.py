"""Files written before the modules moved are still read: a study goes on, an export predicts, features are found."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WRITTEN = Path(__file__).resolve().parent  # how it was made: README.md there
PARTS = ("data", "backbone", "searched", "encoded", "exported", "space.yaml", "expected.json")
PLACES = ("--studies", "searched", "--cache", "encoded")
VARYING = ("seconds", "timestamp_ms")


def this_machine() -> dict[str, str]:
    import torch
    import transformers

    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return {"processor": next(names, ""), **versions, "python": platform.python_version()}


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A copy of what was written, to work in: all its paths are relative to it."""
    for name in PARTS:
        source = WRITTEN / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, symlinks=True)
        else:
            shutil.copy2(source, tmp_path / name)
    return tmp_path


@pytest.fixture
def expected(desk: Path) -> dict[str, Any]:
    return dict(json.loads((desk / "expected.json").read_text(encoding="utf-8")))


def run(desk: Path, *words: str) -> str:
    """A command typed in that folder; what it says on standard output."""
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=desk, env=environment, text=True, capture_output=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def cached(desk: Path) -> dict[str, tuple[int, str]]:
    """Feature file -> inode and hash. (Its time of change is its time of last use: reading changes it.)"""
    files = sorted((desk / "encoded").rglob("*.safetensors"))
    return {file.name: (file.stat().st_ino, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files}


def histories(desk: Path) -> dict[str, list[dict[str, str]]]:
    found = {}
    for file in sorted(desk.glob("searched/before/trials/*/artifacts/history.csv")):
        with file.open(newline="") as stream:
            found[str(int(file.parts[-3]))] = [
                {k: v for k, v in row.items() if k not in VARYING} for row in csv.DictReader(stream)
            ]
    return found


def assert_same_numbers(ours: Any, theirs: Any, expected: dict[str, Any]) -> None:
    """Bit for bit on the machine that wrote them; elsewhere additions may be in another order."""
    if this_machine() == expected["machine"]:
        assert ours == theirs
    else:
        assert ours == pytest.approx(theirs, abs=1e-5)


def assert_predicted(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    """What `--json` said of each utterance then, chances apart, is the same; then the chances. New keys are allowed."""
    assert len(ours) == len(theirs) > 0
    for our, their in zip(ours, theirs, strict=True):
        assert {k: our[k] for k in their if k != "probabilities"} == {
            k: v for k, v in their.items() if k != "probabilities"
        }
        assert list(our["probabilities"]) == list(their["probabilities"])
        assert_same_numbers(our["probabilities"], their["probabilities"], expected)


@pytest.mark.ray
def test_an_interrupted_study_goes_on(desk: Path, expected: dict[str, Any]) -> None:
    """Trial 0 was finished, trial 1 killed after epoch 4 of 8, trial 2 never begun."""
    features, trials = cached(desk), desk / "searched/before/trials"
    assert (trials / "00001/last.safetensors").exists() and not (trials / "00002").exists()
    first = (trials / "00000/artifacts/history.csv").read_bytes()
    output = run(desk, "mer.tune", "space.yaml", *PLACES, "--resume")
    assert "features: 2 files, all cached, nothing encoded" in output
    assert cached(desk) == features
    assert sorted(path.name for path in trials.iterdir()) == ["00000", "00001", "00002"]
    assert not (trials / "00001/last.safetensors").exists()
    assert (trials / "00000/artifacts/history.csv").read_bytes() == first
    summary = json.loads((desk / "searched/before/summary.json").read_text(encoding="utf-8"))
    assert sum(summary["trials"].values()) == 3
    rows = histories(desk)
    assert [float(row["epoch"]) for row in rows["1"]] == [float(epoch) for epoch in range(1, 9)]
    # What was trained then stays. What is trained now draws other random numbers than the code of then, and has
    # further metrics (CHANGELOG).
    assert rows["0"] == expected["histories"]["0"]
    then = expected["histories"]["1"][:4]
    assert [{k: row[k] for k in old} for row, old in zip(rows["1"], then, strict=False)] == then


@pytest.mark.slow
def test_an_export_predicts_the_same(desk: Path, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    features = cached(desk)
    said = run(desk, "mer.predict", "exported/before", "--file", "data/test_sent_emo.csv", "--json")
    assert_predicted([json.loads(line) for line in said.splitlines()], expected["predictions_of_test"], expected)
    assert cached(desk) == features

    import mer

    monkeypatch.chdir(desk)
    predictions = mer.load("exported/before").predict(expected["texts"])
    asked = expected["predictions_of_texts"]
    assert [prediction.label for prediction in predictions] == [one["label"] for one in asked]
    for prediction, one in zip(predictions, asked, strict=True):
        assert_same_numbers(dict(prediction.probabilities), one["probabilities"], expected)


@pytest.mark.slow
def test_a_trial_is_exported_to_the_same_weights(desk: Path) -> None:
    """From the store, through a link, with its card beside it; the features it is checked on are not made again."""
    features = cached(desk)
    output = run(desk, "mer.export", "searched/before", "--trial", "0", "--out", "exported/again", "--cache", "encoded")
    assert "exported trial 0 of before" in output
    for name in ("model.safetensors", "config.json", "labels.json", "preprocessor.json"):
        assert (desk / "exported/again" / name).read_bytes() == (desk / "exported/before" / name).read_bytes(), name
    assert cached(desk) == features


@pytest.mark.slow
def test_features_are_found_and_whole(desk: Path, expected: dict[str, Any]) -> None:
    features = cached(desk)
    assert sorted(features) == expected["features"]
    said = run(desk, "mer.extract", "space.yaml", "--cache", "encoded")
    assert "2 files, all cached, nothing encoded" in said
    run(desk, "mer.features", "verify", "--cache", "encoded")
    run(desk, "mer.store", "verify", "--studies", "searched")
    assert cached(desk) == features
