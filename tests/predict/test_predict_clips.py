"""Models that hear: exported, loaded, and asked about files, as the library and as the command."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from open_study import begin_study
from typed_command import Typed

import mer
from mer.checkpoints.export_folder import Export
from mer.config import AudioEncoderConfig
from mer.data.media import MediaFault
from mer.errors import MerError
from mer.features import FeatureTable, load_features
from mer.features.from_clips.live import LiveClips
from mer.features.modalities import locate_clip_backbone
from mer.predictor.prediction import as_predictions
from mer.study.preflight.feature_plan import FeaturePlan
from mer.training import Scores, TrainingRun

sys.path.append(str(Path(__file__).parents[1] / "features"))

from audio_backbones import save_backbone
from clip_corpus import clip, voice, write_meld, write_sound

SPACE = """study: heard
trainable: audio
budget: {trials: 2, epochs: 3}
sampler: {kind: random, seed: 0}
scheduler: {kind: none}
fixed:
  data: {root: CORPUS}
  encoders: {audio: {layers: all}}
  head: {hidden: 12}
  loss: {contrastive: {kind: spcl, pool_size: 8, support_size: 2}}
params:
  encoders.audio.backbone: {choice: [melstats, BACKBONE]}
  training.prediction: {choice: [head, nearest_center]}
points:
  - {encoders.audio.backbone: melstats, training.prediction: head}
  - {encoders.audio.backbone: BACKBONE, training.prediction: nearest_center}
"""
SIGNAL, PRETRAINED = 0, 1  # trial numbers
MISSING = 4  # the dev row whose clip is not there
DEV = 7


@dataclass
class Heard:
    """A finished study of two audio models."""

    corpus: Path
    plan: FeaturePlan
    runs: list[TrainingRun]
    exports: list[Export]

    def dev(self, number: int) -> FeatureTable:
        return load_features(Path(self.plan.of(self.runs[number].config)["audio"]["dev"]))

    def clips(self) -> list[Path]:
        return [clip(self.corpus, "audio", "dev", row) for row in range(DEV)]

    def there(self) -> list[int]:
        return [row for row in range(DEV) if row != MISSING]


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    place = tmp_path_factory.mktemp("heard")
    corpus = write_meld(place / "corpus", {"train": 14, "dev": DEV}, video=False)
    clip(corpus, "audio", "dev", MISSING).unlink()
    clip(corpus, "audio", "train", 3).unlink()
    backbone = save_backbone("wav2vec2_layer", place / "tiny")
    study = begin_study(SPACE, place, CORPUS=corpus, BACKBONE=backbone.folder)
    return Heard(corpus, study.plan, *study.train_and_export(2))


# ---- as a library


@pytest.mark.parametrize("number", [SIGNAL, PRETRAINED])
def test_logits_with_the_mask_are_those_of_training(number: int, heard: Heard) -> None:
    """The mask of the feature file must reach training and export through `as_training_data`."""
    run, dev = heard.runs[number], heard.dev(number)
    assert dev.present.tolist() == [row != MISSING for row in range(DEV)]
    assert run.data.dev.present_N is not None and run.data.train.present_N is not None
    model = mer.load(heard.exports[number].folder)
    with_mask = model.logits(dev.features, dev.present)
    np.testing.assert_array_equal(with_mask, run.predict(run.data.dev))
    np.testing.assert_array_equal(with_mask, run.member.best.logits_NC)
    without = model.logits(dev.features)
    assert not np.allclose(without[MISSING], with_mask[MISSING], atol=1e-3), "zeros are not the average clip"
    np.testing.assert_array_equal(without[heard.there()], with_mask[heard.there()])


@pytest.mark.parametrize("number", [SIGNAL, PRETRAINED])
def test_clips_give_what_their_cached_features_give(number: int, heard: Heard) -> None:
    model, dev = mer.load(heard.exports[number].folder), heard.dev(number)
    cached = as_predictions(model.logits(dev.features, dev.present), model.class_names)
    found = model.predict_clips(heard.clips(), masked=True)
    for row, (one, other) in enumerate(zip(found, cached, strict=True)):
        assert one.label == other.label, row
        assert np.abs(np.subtract(list(one.probabilities.values()), list(other.probabilities.values()))).max() < 1e-3
        assert one.fault == ("no such file" if row == MISSING else "")
        alone = model.predict_clips([heard.clips()[row]], masked=True)[0]
        assert alone.label == one.label
        assert alone.probabilities == pytest.approx(one.probabilities, abs=1e-3)
    _, config = heard.exports[number].config.encoders.only
    assert isinstance(config, AudioEncoderConfig)
    live = LiveClips(config, locate_clip_backbone(config)).encode(heard.clips())
    assert (
        np.abs(model.logits(live.features_NLD, live.present_N) - heard.runs[number].member.best.logits_NC).max() < 1e-3
    )


def test_a_clip_that_cannot_be_read(heard: Heard, tmp_path: Path) -> None:
    model, good = mer.load(heard.exports[SIGNAL].folder), heard.clips()[0]
    (tmp_path / "empty.flac").touch()
    with pytest.raises(MerError) as caught:
        model.predict_clips([good, tmp_path / "empty.flac"])
    assert str(caught.value) == f"{tmp_path}/empty.flac: 0 bytes\n  allowed: a file that holds audio"
    known = MediaFault("known to be bad")
    found = model.predict_clips([good, str(tmp_path / "empty.flac"), known, good], masked=True)
    assert [one.fault for one in found] == ["", "0 bytes", "known to be bad", ""]
    assert found[0] == found[3] and found[1].probabilities == found[2].probabilities != found[0].probabilities
    long = write_sound(tmp_path / "long.wav", voice(25))
    assert [one.truncated for one in model.predict_clips([long, good])] == [True, False]
    everything_bad = model.predict_clips([tmp_path / "empty.flac", known], masked=True)
    assert [one.probabilities for one in everything_bad] == [found[1].probabilities] * 2


def test_what_it_refuses(heard: Heard) -> None:
    model = mer.load(heard.exports[SIGNAL].folder)
    assert model.predict_clips([]) == []
    with pytest.raises(TypeError, match="a list of paths"):
        model.predict_clips("a.flac")
    with pytest.raises(MerError, match=r"this model does not read text\n  allowed: audio: predict_clips"):
        model.predict(["Hi!"])
    with pytest.raises(MerError, match=r"features of shape \(2, 4, 155\)\n  allowed: \(utterances, 1, 155\)"):
        model.logits(np.zeros((2, 4, 155), np.float16))


def test_another_backbone_is_refused(heard: Heard, tmp_path: Path) -> None:
    folder = heard.exports[PRETRAINED].folder
    other = save_backbone("wav2vec2_layer", tmp_path / "tiny", initializer_range=0.5)
    words = json.loads((other.folder / "preprocessor_config.json").read_text())
    (other.folder / "preprocessor_config.json").write_text(json.dumps({**words, "do_normalize": False}))
    with pytest.raises(MerError, match="of backbone 'tiny' are not those the model was trained on"):
        mer.load(folder, backbone=other.folder)


# ---- as a command


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], heard: Heard) -> Typed:
    return Typed(monkeypatch, capsys, heard.exports[SIGNAL].folder)


def test_files_on_the_command_line(typed: Typed, heard: Heard) -> None:
    good = [heard.clips()[row] for row in heard.there()[:3]]
    code, out, err = typed(*(word for path in good for word in ("--audio", path)), "--json")
    assert code == 0 and err == ""
    rows = [json.loads(line) for line in out.splitlines()]
    expected = mer.load(heard.exports[SIGNAL].folder).predict_clips(good)
    assert [row["text"] for row in rows] == list(map(str, good))
    for row, one in zip(rows, expected, strict=True):
        assert row["label"] == one.label and row["probabilities"] == pytest.approx(one.probabilities)
    code, out, _ = typed("--audio", good[0])
    assert code == 0 and out.split()[0] == expected[0].label and good[0].name in out


def test_a_csv_file_with_its_clips_beside_it(typed: Typed, heard: Heard, tmp_path: Path) -> None:
    table = heard.corpus / "dev_sent_emo.csv"
    code, out, err = typed("--file", table, "--json")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    run = heard.runs[SIGNAL]
    scores = Scores(run.member.best.logits_NC, run.data.dev.labels_N, run.data.class_names)
    assert [row["label"] for row in rows] == [run.data.class_names[best] for best in scores.predicted_N]
    for row, chances in zip(rows, np.exp(scores.log_probabilities_NC), strict=True):
        np.testing.assert_allclose(list(row["probabilities"].values()), chances, atol=1e-3)
    lines = err.splitlines()
    assert f"note: 1 utterance is answered from nothing: no such file (utterance {MISSING + 1})" in lines
    assert [row["fault"] for row in rows] == ["no such file" if at == MISSING else "" for at in range(DEV)]
    assert f"{DEV} labelled utterances: accuracy {100 * scores.accuracy:.2f}, " in lines[-1]

    code, out, err = typed("--file", table, "--out", tmp_path / "p.csv")
    assert code == 0 and out == ""
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as stream:
        assert [row["predicted"] for row in csv.DictReader(stream)] == [row["label"] for row in rows]


def test_a_bad_clip_among_good_ones_does_not_stop_the_rest(typed: Typed, heard: Heard, tmp_path: Path) -> None:
    """Case D: silence and a click are answers from nothing; so is what cannot be read, and the others are told."""
    good = heard.clips()[heard.there()[0]]
    silence = write_sound(tmp_path / "silence.wav", np.zeros(16_000, np.float32))
    click = write_sound(tmp_path / "click.wav", voice(0.006))
    constant = write_sound(tmp_path / "offset.wav", np.full(16_000, 0.25, np.float32))
    (tmp_path / "page.wav").write_text("<!DOCTYPE html><title>404</title>")
    given = [silence, good, click, constant, tmp_path / "page.wav", tmp_path / "gone.wav"]
    code, out, err = typed(*(word for path in given for word in ("--audio", path)), "--json")
    faults = [json.loads(line)["fault"] for line in out.splitlines()]
    assert code == 0 and faults[:4] == ["silent", "", "shorter than 100 ms", "silent"]
    assert faults[4] and faults[5] == "no such file"
    assert err.splitlines()[0] == "note: 2 utterances are answered from nothing: silent (utterance 1, 4)"
    code, out, _ = typed("--audio", silence)
    assert code == 0 and out.endswith("  [from nothing: silent]\n")  # read, and marked
    code, out, err = typed("--audio", given[4], "--audio", given[5], "--out", tmp_path / "p.csv")
    assert code == 2 and not (tmp_path / "p.csv").exists()
    assert err.startswith("error: input: not one of its 2 utterances could be read, the first: ")


def test_a_csv_file_without_any_clip_is_refused(typed: Typed, heard: Heard, tmp_path: Path) -> None:
    """Rather than a page of average predictions."""
    path = shutil.copy(heard.corpus / "dev_sent_emo.csv", tmp_path / "dev_sent_emo.csv")
    code, out, err = typed("--file", path, "--json")
    assert (code, out) == (2, "")
    columns, _, refusal = err.partition("\n")
    assert columns.startswith("dev_sent_emo.csv: text from Utterance, label from Emotion, ")
    assert refusal == (
        f"error: {path}: not one clip of its {DEV} utterances is there (no such file)\n"
        "  allowed: paths from the folder of the file; beside a file named as MELD's: audios/dev/dia0_utt0 ...\n"
        "  next: name the column: --set data.columns.audio=COLUMN; or the clips one by one: --audio FILE\n"
    )
    path = shutil.copy(path, tmp_path / "mine.csv")
    code, out, err = typed("--file", path, "--json")
    assert (code, out) == (2, "") and "mine.csv:1: no column for a model that reads audio; the header has " in err


@pytest.mark.parametrize("name", ["list.csv", "metadata.csv", "ids.tsv", "list.jsonl", "videos.csv"])
def test_a_file_of_paths_alone(typed: Typed, heard: Heard, tmp_path: Path, name: str) -> None:
    """Case I, and other members of the kind; the second of three clips is not there."""
    good = [heard.clips()[row] for row in heard.there()[:2]]
    ending = ".mp4" if name == "videos.csv" else ".flac"
    (tmp_path / "clips").mkdir()
    for number, path in zip((0, 2), good, strict=True):
        shutil.copy(path, tmp_path / f"clips/c{number}{ending}")
    header, row = {
        "list.csv": ("path", "./clips/c{}.flac"),
        "metadata.csv": ("file,actor,gender,emotion,statement,text", "clips/c{}.flac,1,male,angry,1,Kids are talking"),
        "ids.tsv": ("id\ttext", "clips/c{}\tHi!"),
        "list.jsonl": (None, '{{"wav": "clips/c{}.flac", "label": "nonsense"}}'),
        "videos.csv": ("video;label", "clips/c{}.mp4;joy"),
    }[name]
    lines = [*([header] if header else []), *(row.format(number) for number in range(3))]
    (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    code, out, err = typed("--file", tmp_path / name, "--json")
    assert code == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["fault"] for row in rows] == ["", "no such file", ""]
    assert "note: 1 utterance is answered from nothing: no such file (utterance 2)" in err
    expected = mer.load(heard.exports[SIGNAL].folder).predict_clips(good)
    assert [rows[0]["label"], rows[2]["label"]] == [one.label for one in expected]
    assert ("1 labelled" in err or "3 labelled utterances" in err) == (name == "videos.csv")


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("--text", "Hi!"), "--text: {export} does not read it: this model has audio only\n  allowed: --audio, --file"),
        (("--video", "v.mp4"), "--video: {export} does not read it: this model has audio only"),
        (("--audio", "nothing.flac"), "nothing.flac: no such file\n  allowed: a file that holds audio"),
        (("--audio", "{folder}/empty.wav"), "empty.wav: 0 bytes\n  allowed: a file that holds audio"),
        (("--audio", "{folder}/bad.wav"), "bad.wav: cannot be decoded: "),
        (("--audio", "{folder}"), "not a file"),
        (("--audio", "a.flac", "--file", "f.csv"), "--audio --file: they exclude each other"),
        (("--file", "nothing.csv"), "nothing.csv: no such file"),
        (("--file", "{folder}/f.jsonl"), "f.jsonl:1: no column for a model that reads audio; the header has text"),
        ((), "input: there is none\n  allowed: --audio FILE (may be repeated), or --file F.csv"),
    ],
)
def test_bad_input_in_one_message(typed: Typed, tmp_path: Path, arguments: tuple[str, ...], wanted: str) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "bad.wav").write_bytes(b"no sound" * 99)
    (tmp_path / "f.jsonl").write_text('{"text": "Hi"}\n')
    code, out, err = typed(*(word.format(folder=tmp_path) for word in arguments))
    assert code == 2 and out == "" and err.startswith("error: ") and err.count("error: ") == 1
    assert wanted.format(export=typed.export) in err and "Traceback" not in err
