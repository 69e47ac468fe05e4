"""Studies on features that others extracted: planned, rehearsed, trained, exported, and refused new texts and clips."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from open_study import begin_study
from rich.console import Console
from typer.testing import CliRunner

import mer
from mer.checkpoints.export_folder import Export
from mer.errors import MerError
from mer.features.__main__ import app as features_app
from mer.predict import app as predict_app
from mer.study.export.push import shareable
from mer.study.preflight.check_plan import check_plan
from mer.study.preflight.dry_run import dry_run
from mer.study.preflight.run_options import RunOptions
from mer.study.space.load import load_spec

sys.path.append(str(Path(__file__).parents[1] / "features"))

from clip_corpus import PER_DIALOGUE, write_csv
from given_cases import LABELS, LAYOUTS, SPACE, make_clips

ROWS = {"train": 18, "dev": 9}


def write(place: Path) -> dict[str, Path]:
    """A corpus without clips, and features that tell its labels: a table of texts, a folder of sounds without one."""
    for split, count in ROWS.items():
        write_csv(place / "corpus", split, [LABELS[row % 3] for row in range(count)])
    made: dict[str, Path] = {"CORPUS": place / "corpus"}
    for number, (word, layout) in enumerate({"TEXTS": "safetensors", "SOUNDS": "parts"}.items()):
        clips = make_clips(ROWS, seed=number)
        for rows in clips.values():
            for row, frames in enumerate(rows):
                frames[frames.any(axis=1)] += 4 * np.eye(6)[row % 3]
        made[word] = LAYOUTS[layout](place / word.lower(), clips, PER_DIALOGUE)
    (made["SOUNDS"] / "train" / "dia0_utt0.npy").unlink()
    made["TEXTS"].write_bytes(made["TEXTS"].read_bytes().replace(b".audio", b".trans"))  # no word of any modality
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("given")


@pytest.fixture(scope="module")
def made(place: Path) -> dict[str, Path]:
    return write(place)


@pytest.fixture(scope="module")
def trained(place: Path, made: dict[str, Path]) -> tuple[Any, Export]:
    study = begin_study(SPACE, place, **made)
    return study.train_next(), study.export(place / "export").export


def space(place: Path, made: dict[str, Path], *changes: tuple[str, str]) -> Path:
    text = SPACE
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    for word, path in made.items():
        text = text.replace(word, str(path))
    (place / "changed.yaml").write_text(text, encoding="utf-8")
    return place / "changed.yaml"


def test_a_fusion_on_features_of_others_learns_and_is_exported(trained: tuple[Any, Export]) -> None:
    run, export = trained
    assert run.member.best.row["dev_weighted_f1"] > 0.9
    assert export.inputs["audio"]["backbone"]["name"] == "file:sounds"
    assert export.inputs["audio"]["width"] == 6 and export.inputs["text"]["hidden_states"] == 1
    model = mer.load(export.folder)
    features = {name: (np.zeros((2, 1, 6), dtype=np.float32), None) for name in ("text", "audio")}
    assert model.scores(features).shape == (2, 3)


def test_new_texts_and_clips_are_refused_in_one_message(trained: tuple[Any, Export], tmp_path: Path) -> None:
    _, export = trained
    result = CliRunner().invoke(predict_app, [str(export.folder), "--text", "Hi!", "--audio", "a.wav"])
    assert isinstance(result.exception, MerError) and result.exit_code
    for words in ("features that others extracted", "encoders.text.backbone is file:"):
        assert words in result.exception.found
    assert f"python -m mer.predict {export.folder} --features PLACE" in result.exception.then
    with pytest.raises(MerError, match="features that others extracted"):
        mer.load(export.folder).predict_utterances([_dialogue()], {"audio": [tmp_path / "a.wav"]})


def _dialogue() -> Any:
    from mer.predictor.answers import as_dialogue

    return as_dialogue([("Ross", "Hi!")], name="one")


def test_the_card_says_what_the_model_reads_and_no_place(trained: tuple[Any, Export], tmp_path: Path) -> None:
    _, export = trained
    card = (export.folder / "README.md").read_text(encoding="utf-8")
    assert "labels no new text or clip by itself" in card and "--features text=PLACE --features audio=PLACE" in card
    assert "Features file:sounds: extracted by others" in card
    shared = shareable(export, "me/model", tmp_path / "shared")
    told = "".join(
        path.read_text(encoding="utf-8") for path in shared.folder.iterdir() if path.suffix in (".json", ".md")
    )
    assert str(Path(export.config.encoders.audio.backbone.removeprefix("file:")).parent) not in told
    assert json.loads((shared.folder / "config.json").read_text())["encoders"]["audio"]["backbone"] == "file:sounds"


def test_a_dry_run_counts_what_is_missing(place: Path, made: dict[str, Path]) -> None:
    console = Console(file=io.StringIO(), width=160)
    options = RunOptions(place / "studies", place / "dry-cache", command="python -m mer.tune space.yaml")
    dry_run(load_spec(space(place, made, ("study: given", "study: dry"))), options, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1 of 27 utterances have no features in file:sounds: they are masked" in said
    assert "dry run: nothing was encoded" in said and not (place / "dry-cache").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('"file:SOUNDS"', '"file:nowhere"'), "file:nowhere: no such file or folder"),
        (('"file:SOUNDS"}', '"file:SOUNDS", max_seconds: 3.0}'), "max_seconds cannot be set beside it"),
        (('"file:SOUNDS"}', '"file:SOUNDS", mode: lora}'), "has no weights to tune, set mode: frozen"),
        (('"file:SOUNDS"}', '"file:SOUNDS", layers: [3]}'), "[3] of a backbone with 1 hidden states"),
        (('"file:TEXTS"}', '"file:TEXTS", pooler: target}'), "'target' asked of file:"),
    ],
)
def test_what_a_study_refuses(change: tuple[str, str], words: str, place: Path, made: dict[str, Path]) -> None:
    with pytest.raises((MerError, ValueError)) as caught:
        check_plan(load_spec(space(place, made, change)))
    assert words in str(caught.value)


def test_label_words_need_a_text_encoder(place: Path, made: dict[str, Path]) -> None:
    alone = (
        (', audio: {backbone: "file:SOUNDS"}', ""),
        ("trainable: fusion", "trainable: text"),
        ("  fusion: {kind: concat}\n", ""),
    )
    eacl = ("  head.hidden: 8", "  head.hidden: 8\n  loss: {contrastive: {kind: eacl}}")
    with pytest.raises((MerError, ValueError), match="reads the label words through the text encoder"):
        text = SPACE
        for before, after in (*alone, eacl):
            text = text.replace(before, after)
        for word, path in made.items():
            text = text.replace(word, str(path))
        (place / "words.yaml").write_text(text, encoding="utf-8")
        check_plan(load_spec(place / "words.yaml"))


def test_the_cache_lists_them(trained: tuple[Any, Export], place: Path) -> None:
    result = CliRunner().invoke(features_app, ["list", "--cache", str(place / "features")])
    assert result.exit_code == 0 and "file:sounds" in result.output and "18 (1 masked)" in result.output
    assert CliRunner().invoke(features_app, ["verify", "--cache", str(place / "features")]).exit_code == 0


FRAMES = """study: frames
trainable: fusion
objective: {metric: dev_weighted_f1, mode: max}
budget: {trials: 1, epochs: 10}
scheduler: {kind: none}
fixed:
  data: {root: CORPUS}
  encoders:
    text: {backbone: "file:TEXTS", pooler: none}
    audio: {backbone: "file:SOUNDS", pooler: none, max_states: 3}
  fusion: {kind: KIND}
  head: {hidden: 8HEAD}
params:
  optim.head_lr: {float: [1e-2, 2e-2], log: true}
"""


@pytest.mark.parametrize(("kind", "head"), [("concat", ", pool: attentive"), ("mult", "")])
def test_frames_of_others_are_read_as_sequences(
    kind: str, head: str, place: Path, made: dict[str, Path], tmp_path: Path
) -> None:
    study = begin_study(FRAMES, tmp_path, cache=place / "frames", KIND=kind, HEAD=head, **made)
    run = study.train_next()
    assert run.member.best is not None and run.member.best.row["dev_weighted_f1"] > 0.6
    export = study.export(tmp_path / "export").export
    features = {"text": made["TEXTS"], "audio": made["SOUNDS"]}
    found = mer.load(export.folder, features=features).predict_listed()
    assert len(found) == sum(ROWS.values())
    dev = [found[f"dev/dia{row // PER_DIALOGUE}_utt{row % PER_DIALOGUE}"] for row in range(ROWS["dev"])]
    scores = np.array([list(one.probabilities.values()) for one in dev])
    logits = run.member.best.logits_NC
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_a_dry_run_says_how_many_frames_are_kept(place: Path, made: dict[str, Path], tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=160)
    text = FRAMES.replace("KIND", "mult").replace("HEAD", "")
    for word, path in made.items():
        text = text.replace(word, str(path))
    (tmp_path / "frames.yaml").write_text(text, encoding="utf-8")
    options = RunOptions(tmp_path / "studies", tmp_path / "cache", command="python -m mer.tune frames.yaml")
    dry_run(load_spec(tmp_path / "frames.yaml"), options, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "encoders.audio keeps a state of every step of time" in said and "at most 3" in said
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
