"""`mer.export --ensemble`: several exports in one folder answer with their mean, wherever one model is asked."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from export_helpers import ANCHOR, CENTER, HEAD, Made
from open_study import begin_study, quiet
from typer.testing import CliRunner

import mer
from mer.checkpoints.ensemble_folder import Ensemble, is_ensemble, read_any, read_ensemble
from mer.checkpoints.export_folder import Export, read_export
from mer.errors import MerError
from mer.export import app
from mer.predict import run as predict
from mer.predictor.conversation import Turn, answer
from mer.predictor.request import Request
from mer.study.evaluate.ensembles import _parts
from mer.study.export.ensemble import EnsembleOptions, export_ensemble
from mer.study.folder.recorded import read_predictions
from mer.study.paths import DEV_PREDICTIONS
from mer.training.metrics import Scores

TEXTS = ["Oh my God!", "I do not know what to say.", "no", "We won!"]


@pytest.fixture(scope="module")
def members(small_study: Made, tmp_path_factory: pytest.TempPathFactory) -> list[Export]:
    """The second is calibrated."""
    place = tmp_path_factory.mktemp("members")
    return [
        small_study.export(place / str(number), trial=number, calibrate=number == CENTER).export
        for number in (HEAD, CENTER, ANCHOR)
    ]


@pytest.fixture(scope="module")
def together(members: list[Export], tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    out = tmp_path_factory.mktemp("together") / "three"
    return export_ensemble([one.folder for one in members], EnsembleOptions(out), quiet())


def chances(answers) -> np.ndarray:
    return np.array([list(one.probabilities.values()) for one in answers])


def test_probabilities_are_the_mean_of_the_members(members, together):
    model = mer.load(together.folder)
    answers = model.predict(TEXTS)
    mean = np.mean([chances(mer.load(one.folder).predict(TEXTS)) for one in members], axis=0)
    np.testing.assert_allclose(chances(answers), mean, atol=1e-12)
    assert [one.label for one in answers] == [model.class_names[best] for best in mean.argmax(axis=1)]
    dialogue = [("Ann", "We won!"), ("Bob", "no"), ("Ann", "Oh my God!")]
    mean = np.mean([chances(mer.load(one.folder).predict_dialogue(dialogue)) for one in members], axis=0)
    np.testing.assert_allclose(chances(model.predict_dialogue(dialogue)), mean, atol=1e-12)
    assert model.modalities == ("text",) and model.predict_dialogue([]) == [] and model.predict([]) == []


def test_members_that_read_alike_share_an_encoder_and_read_once(together, monkeypatch):
    model = mer.load(together.folder)
    (encoder,) = {id(member.encoders["text"]): member.encoders["text"] for member in model.members}.values()
    usual, calls = encoder.encode, []
    monkeypatch.setattr(encoder, "encode", lambda *given, **how: calls.append(1) or usual(*given, **how))
    model.predict(TEXTS)
    assert len(calls) == 1


def test_dev_is_scored_with_the_mean_and_the_card_says_so(members, together):
    read = [read_predictions(one.folder / DEV_PREDICTIONS) for one in members]
    tables = []
    for (_, _, logits), one in zip(read, members, strict=True):
        z = logits.astype(np.float64) / (one.temperature or 1.0)
        weights = np.exp(z - z.max(axis=1, keepdims=True))
        tables.append(weights / weights.sum(axis=1, keepdims=True))
    expected = Scores(np.mean(tables, axis=0), read[0][1], together.class_names).weighted_f1
    assert together.provenance["dev_metrics"]["dev_weighted_f1"] == pytest.approx(expected, abs=1e-12)
    ids, labels, logits = read_predictions(together.folder / DEV_PREDICTIONS)
    assert ids == read[0][0] and Scores(logits, labels, together.class_names).weighted_f1 == pytest.approx(expected)
    card = (together.folder / "README.md").read_text()
    assert "3 models that answer together" in card and f"| {100 * expected:.2f} |" in card
    for number, one in enumerate(members, start=1):
        assert f"| {number} | small, trial {one.provenance['trial']} | {one.config.seed} |" in card
        assert (together.folder / f"members/{number}/model.safetensors").read_bytes() == (
            one.folder / "model.safetensors"
        ).read_bytes()


def test_commands_ask_it_as_one_model(together, capsys):
    predict(Request(together.folder, texts=("no",), json_lines=True), io.StringIO())
    said = json.loads(capsys.readouterr().out)
    assert said["label"] == mer.load(together.folder).predict(["no"])[0].label
    assert answer(mer.load(together.folder), [Turn(text="no")])[0].label
    assert together.title == "three, 3 models" and together.reads_context and together.reads_names


def test_an_ensemble_is_calibrated_on_the_mean(members, tmp_path):
    out = tmp_path / "both"
    made = export_ensemble([one.folder for one in members[::2]], EnsembleOptions(out, calibrate=True), quiet())
    plain = export_ensemble([one.folder for one in members[::2]], EnsembleOptions(tmp_path / "plain"), quiet())
    assert made.temperature == made.provenance["temperature"]["value"] and plain.temperature is None
    logs = np.log(chances(mer.load(plain.folder).predict(TEXTS))) / made.temperature
    expected = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(chances(mer.load(out).predict(TEXTS)), expected, atol=1e-12)
    assert "Guo et al. 2017" in (out / "README.md").read_text()


# -- refusals ------------------------------------------------------------------------------------------------------


def refusal(folders, out: Path, **options) -> str:
    with pytest.raises(MerError) as caught:
        export_ensemble(folders, EnsembleOptions(out, **options), quiet())
    return caught.value.message


def test_what_does_not_go_together_is_refused(members, together, tmp_path):
    first, second = (one.folder for one in members[:2])
    assert refusal([first], tmp_path / "out").startswith("--ensemble: 1 export was given")
    twice = refusal([first, second, first], tmp_path / "out")
    assert f"{first}: it is named twice: a model beside itself adds nothing" in twice and "the weights of" not in twice
    shutil.copytree(first, tmp_path / "copy")
    assert f"it has the weights of {first}" in refusal([first, second, tmp_path / "copy"], tmp_path / "out")
    assert "it is an ensemble: several exports" in refusal([first, together.folder], tmp_path / "out")
    assert "an export is here already" in refusal([first, second], first)
    assert not (tmp_path / "out").exists()


def test_other_labels_and_other_utterances_are_refused(members, small_study, tmp_path, monkeypatch):
    read = {one.folder: one for one in members[:2]}
    second = members[1]
    turned = Export(second.folder, second.config, second.class_names[::-1], second.provenance, second.preprocessor)
    monkeypatch.setattr("mer.study.export.ensemble.read_export", lambda f: turned if f == second.folder else read[f])
    assert "gives, in that order: " in refusal(list(read), tmp_path / "out")
    monkeypatch.undo()
    ids, labels, logits = read_predictions(second.folder / DEV_PREDICTIONS)
    other = (ids[::-1], labels[::-1], logits[::-1])
    usual = read_predictions
    monkeypatch.setattr(
        "mer.study.export.ensemble.read_predictions", lambda p: other if p.parent == second.folder else usual(p)
    )
    assert "it was scored on other utterances or labels than" in refusal(list(read), tmp_path / "out")


def test_the_command_says_what_has_no_place_beside_it(members, tmp_path):
    folders = [str(one.folder) for one in members]

    def said(*words: str) -> str:
        ended = CliRunner().invoke(app, [*words])
        assert isinstance(ended.exception, MerError), ended.output
        return ended.exception.message

    assert said("--ensemble", *folders).startswith("--ensemble: it is not said where")
    out = str(tmp_path / "out")
    assert said("--ensemble", *folders, "--out", out, "--trial", "1").startswith("--ensemble --trial: they exclude")
    assert "add --ensemble" in said(*folders)
    ended = CliRunner().invoke(app, ["--ensemble", *folders, "--out", out])
    assert ended.exit_code == 0 and is_ensemble(out)
    for words in (["--calibrate"], ["--onnx"]):
        assert said(out, *words)


def test_one_model_is_asked_for_where_an_ensemble_cannot_stand(together):
    with pytest.raises(MerError, match="it is an ensemble: several exports that answer together") as caught:
        read_export(together.folder)
    assert str(together.folder / "members/1") in caught.value.message
    assert read_any(together.folder) == together and read_any(together.folder / "members/1") != together


@pytest.mark.parametrize(
    "name", ["members/2/config.json", "ensemble.json", "members/1/model.safetensors", "labels.json"]
)
def test_an_edited_file_of_any_member_is_refused(together, tmp_path, name):
    shutil.copytree(together.folder, tmp_path / "copy")
    with (tmp_path / "copy" / name).open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(MerError, match="truncated or edited"):
        read_ensemble(tmp_path / "copy")
    (tmp_path / "copy" / name).unlink()
    with pytest.raises(MerError, match="this file of the export is missing"):
        read_any(tmp_path / "copy")


# -- several modalities, evaluation --------------------------------------------------------------------------------

SPACE = """
study: KIND
trainable: KIND
budget: {trials: 1, epochs: 2}
scheduler: {kind: none}
fixed:
  data: {dataset: csv, root: CORPUS}
  encoders: {KIND: {backbone: BACKBONE}}
  head.hidden: 8
params: {optim.head_lr: {float: [1e-3, 1e-2], log: true}}
"""


def test_a_modality_that_is_missing_leaves_its_member_out(tmp_path):
    """Text alone where no sound is given, sound alone where no text is; both where both are."""
    rng, corpus = np.random.default_rng(0), tmp_path / "corpus"
    corpus.mkdir()
    for split, count in (("train", 16), ("dev", 8)):
        rows = ["path,text,label"]
        for row in range(count):
            tone = (0.05 + 0.5 * (row % 2)) * np.sin(np.arange(8000) * 0.05) + 0.01 * rng.normal(size=8000)
            soundfile.write(corpus / f"{split}{row}.wav", tone.astype(np.float32), 16000)
            clip = "" if (split, row) == ("dev", 3) else f"{split}{row}.wav"
            rows.append(f"{clip},{('we sat by the sea', 'go away now')[row % 2]} {row},{('calm', 'loud')[row % 2]}")
        (corpus / f"{split}.csv").write_text("\n".join(rows) + "\n")
    folders = []
    for kind, backbone in (("text", "minilm"), ("audio", "melstats")):
        (tmp_path / kind).mkdir()
        study = begin_study(SPACE, tmp_path / kind, tmp_path / "features", KIND=kind, CORPUS=corpus, BACKBONE=backbone)
        study.train_next()
        folders.append(study.export(tmp_path / f"export-{kind}").export.folder)
    made = export_ensemble(folders, EnsembleOptions(tmp_path / "out", cache=tmp_path / "features"), quiet())
    assert made.reads == ("text", "audio")
    alone = [read_predictions(folder / DEV_PREDICTIONS)[2] for folder in folders]
    mean = read_predictions(made.folder / DEV_PREDICTIONS)[2]
    softmax = lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)  # noqa: E731
    np.testing.assert_allclose(softmax(mean)[3], softmax(alone[0])[3], atol=1e-6)
    np.testing.assert_allclose(softmax(mean)[2], (softmax(alone[0]) + softmax(alone[1]))[2] / 2, atol=1e-6)
    nothing = {"audio": (), "video": ()}
    predict(Request(made.folder, file=corpus / "dev.csv", out=tmp_path / "out.csv", clips=nothing), io.StringIO())
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    told = np.array([[float(row["calm"]), float(row["loud"])] for row in rows])
    np.testing.assert_allclose(told, softmax(mean), atol=1e-3)  # live features are kept in half precision
    assert not any(row["fault"] for row in rows)


def test_groups_of_seeds_share_no_run(members, together, small_study):
    parts = _parts(together, str(small_study.corpus))
    assert len({part.study.study for part in parts}) == 3  # three configurations: each is trained with the seed itself
    assert [part.seed(42) for part in parts] == [42, 42, 42]
    again = Ensemble(together.folder, (members[0],) * 3, together.class_names, {})
    parts = _parts(again, str(small_study.corpus))
    seeds = [part.seed(group) for group in (0, 42) for part in parts]
    assert len({part.study.study for part in parts}) == 1 and len(set(seeds)) == 6
    assert seeds[0] == 0 and seeds[3] == 42 and all(0 <= seed < 2**31 for seed in seeds)
