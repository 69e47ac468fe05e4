"""`mer.export --calibrate`: a temperature fitted to dev is kept, used by predict and evaluate, and told on the card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from export_helpers import HEAD, Made
from typer.testing import CliRunner

import mer
from mer.checkpoints.export_folder import MANIFEST, Export, read_export
from mer.errors import MerError
from mer.export import app
from mer.files import sha256_file
from mer.predict import run as predict
from mer.predictor.request import Request
from mer.study.evaluate.at_temperature import at_temperatures
from mer.study.evaluate.at_threshold import predictions_of
from mer.study.evaluate.seeds import SeedResult
from mer.study.export.decisions import decide
from mer.study.folder.recorded import read_scores
from mer.study.paths import ARTIFACTS, DEV_PREDICTIONS, trial_folder
from mer.training.calibration import at_temperature, fit_temperature
from mer.training.metrics import Scores
from mer.training.number_scores import RegressionScores

TEXTS = ["Oh my God!", "I do not know what to say.", "no", "We won!"]


@pytest.fixture(scope="module")
def calibrated(small_study: Made, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return small_study.export(tmp_path_factory.mktemp("calibrated") / "model", trial=HEAD, calibrate=True).export


def test_the_temperature_is_that_of_dev_and_stands_in_json_and_on_the_card(calibrated, exported, small_study):
    dev = read_scores(trial_folder(small_study.folder, HEAD) / ARTIFACTS / DEV_PREDICTIONS)
    found = fit_temperature(dev)
    labels = json.loads((calibrated.folder / "labels.json").read_text())
    assert labels["temperature"] == calibrated.temperature == found.value and exported.temperature is None
    assert calibrated.provenance["temperature"]["ece_before"] == dev.ece
    card = (calibrated.folder / "README.md").read_text()
    assert f"at temperature {found.value:.4f} (Guo et al. 2017)" in card and "over 15 equal bins" in card
    assert f"{100 * found.ece_after:.2f} % there, {100 * found.ece_before:.2f} % before" in card
    assert f"off by {100 * found.ece_after:.1f} points" in card
    assert "temperature" not in (exported.folder / "labels.json").read_text()


def test_predict_divides_and_no_answer_changes(calibrated, exported, capsys):
    after, before = mer.load(calibrated.folder).predict(TEXTS), mer.load(exported.folder).predict(TEXTS)
    for divided, plain in zip(after, before, strict=True):
        assert divided.label == plain.label
        logs = np.log(list(plain.probabilities.values())) / calibrated.temperature
        expected = np.exp(logs - np.log(np.exp(logs).sum()))
        np.testing.assert_allclose(list(divided.probabilities.values()), expected, atol=1e-9)
    predict(Request(calibrated.folder, texts=("no",), json_lines=True), None)
    assert json.loads(capsys.readouterr().out)["probabilities"] == pytest.approx(after[2].probabilities, abs=1e-6)


def test_an_evaluation_fits_each_seed_to_its_own_dev(tmp_path):
    """The temperature of a seed is fitted to its dev, however test would have it."""
    rng, results = np.random.default_rng(1), []
    for seed, sharp in ((0, 4.0), (1, 2.0)):
        folder = tmp_path / str(seed)
        (folder / ARTIFACTS).mkdir(parents=True)
        for file in (folder / ARTIFACTS / DEV_PREDICTIONS, folder / "test_predictions.csv"):
            z_NC = rng.normal(size=(200, 2))
            says = rng.random(200) < 1 / (1 + np.exp(z_NC[:, 0] - z_NC[:, 1]))
            lines = ["id,true,predicted,logit_a,logit_b"]
            lines += [
                f"x/d{i}_utt0,{'ab'[int(label)]},a,{sharp * z[0]},{sharp * z[1]}"
                for i, (label, z) in enumerate(zip(says, z_NC, strict=True))
            ]
            file.write_text("\n".join(lines) + "\n")
        results.append(SeedResult(seed, seed, 1, {}, {}, None, folder))
    told = at_temperatures(results)
    for row, result in zip(told["seeds"], results, strict=True):
        dev, test = (read_scores(path) for path in predictions_of(result))
        assert row["temperature"] == fit_temperature(dev).value != fit_temperature(test).value
        assert row["test"]["test_ece"] == at_temperature(test, row["temperature"]).ece < row["before"]["test_ece"]
    assert told["words"].startswith("at the temperature that dev chose for each seed (") and "NLL" in told["words"]


def test_thresholds_are_of_the_divided_probabilities_and_decide_the_same():
    rng = np.random.default_rng(5)
    labels = np.arange(120) % 4 == 0
    margins = rng.normal(size=120) * 4 + 6.0 * labels - 2
    dev = Scores(np.stack([np.zeros(120), margins], axis=1).astype(np.float32), labels.astype(int), ("a", "b"))
    plain, both = (decide(dev, threshold="dev_macro_f1", calibrate=how) for how in (False, True))
    assert both.temperature.value != 1 and both.threshold.at_least != plain.threshold.at_least
    said = [
        (1 / (1 + np.exp(-margins.astype(np.float32).astype(float) / t)) >= at).tolist()
        for t, at in ((1.0, plain.threshold.at_least), (both.temperature.value, both.threshold.at_least))
    ]
    assert said[0] == said[1] and both.threshold.after == plain.threshold.after
    assert both.of_export == {
        "threshold": both.threshold.at_least, "thresholds": None, "temperature": both.temperature.value
    }  # fmt: skip


def test_a_model_of_numbers_is_refused_in_one_message():
    numbers = RegressionScores(np.zeros((3, 1)), np.ones((3, 1)), ("valence",), None)
    with pytest.raises(MerError) as refused:
        decide(numbers, threshold="", calibrate=True)
    assert refused.value.message.startswith("--calibrate: it fits probabilities, and this model has data.task regr")


def test_an_export_is_not_calibrated_in_place(calibrated):
    before = {path.name: path.read_bytes() for path in calibrated.folder.iterdir() if path.is_file()}
    ended = CliRunner().invoke(app, [str(calibrated.folder), "--calibrate"])
    assert isinstance(ended.exception, MerError) and "is an export already" in ended.exception.message
    assert "--calibrate --out" in ended.exception.message
    assert before == {path.name: path.read_bytes() for path in calibrated.folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "1.5", True])
def test_an_edited_temperature_is_refused(calibrated: Export, tmp_path: Path, value):
    folder = tmp_path / "model"
    shutil.copytree(calibrated.folder, folder)
    labels, manifest = folder / "labels.json", folder / MANIFEST
    labels.write_text(json.dumps(json.loads(labels.read_text()) | {"temperature": value}))
    listed = json.loads(manifest.read_text())
    listed["sha256"]["labels.json"] = sha256_file(labels)
    manifest.write_text(json.dumps(listed))
    with pytest.raises(MerError, match="temperature"):
        read_export(folder)
