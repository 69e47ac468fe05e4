"""An export of features that others extracted predicts new rows from new features: found by name, checked, compared."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from open_study import begin_study

import mer
from mer.checkpoints.export_folder import Export
from mer.data.inputs import from_names
from mer.errors import MerError
from mer.predict import run
from mer.predictor.request import Request

sys.path.append(str(Path(__file__).parents[1] / "features"))

from clip_corpus import PER_DIALOGUE, write_csv
from given_cases import LABELS, LAYOUTS, SPACE, bare, make_clips, pooled

ROWS = {"train": 18, "dev": 9, "test": 6}
NOTHING: dict[str, tuple[Path, ...]] = {"audio": (), "video": ()}


def telling(seed: int, only: str = "") -> Any:
    """Frames of all rows, or of one split, in which the label stands."""
    clips = make_clips(ROWS, seed=seed)
    for rows in clips.values():
        for row, frames in enumerate(rows):
            frames[frames.any(axis=1)] += 4 * np.eye(6)[row % 3]
    return {split: rows for split, rows in clips.items() if not only or split == only}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus without clips; features of train and dev, and of test elsewhere, as a table of texts and a folder."""
    place = tmp_path_factory.mktemp("given")
    for split, count in ROWS.items():
        write_csv(place / "corpus", split, [LABELS[row % 3] for row in range(count)])
    for name, splits in (("old", ("train", "dev")), ("new", ("test",))):
        texts, sounds = ({split: telling(seed)[split] for split in splits} for seed in (0, 1))
        (place / name).mkdir()
        table = LAYOUTS["safetensors"](place / name / "texts", texts, PER_DIALOGUE)
        table.write_bytes(table.read_bytes().replace(b".audio", b".trans"))  # no word of any modality
        LAYOUTS["parts"](place / name / "sounds", sounds, PER_DIALOGUE)
    return place


@pytest.fixture(scope="module")
def export(place: Path) -> Export:
    words = {"CORPUS": place / "corpus", "TEXTS": place / "old/texts.safetensors", "SOUNDS": place / "old/sounds"}
    study = begin_study(SPACE, place, **words)
    study.train_next()
    return study.export(place / "export").export


@pytest.fixture
def new(place: Path, tmp_path: Path) -> Path:
    """New features, to be broken."""
    return Path(shutil.copytree(place / "new", tmp_path / "new"))


def named(new: Path) -> tuple[str, str]:
    return f"text={new / 'texts.safetensors'}", f"audio={new / 'sounds'}"


def predicted(capsys: pytest.CaptureFixture[str], request: Request) -> tuple[list[Any], str]:
    run(request, io.StringIO())
    said = capsys.readouterr()
    return [json.loads(line) for line in said.out.splitlines()], said.err


def asked(export: Export, features: tuple[str, ...], **more: Any) -> Request:
    return Request(export.folder, json_lines=True, clips=NOTHING, features=features, **more)


def test_all_that_lies_there_is_predicted(export: Export, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, said = predicted(capsys, asked(export, named(new)))
    assert [row["text"] for row in rows] == [f"test/{bare(row, PER_DIALOGUE)}" for row in range(6)]
    assert [row["label"] for row in rows] == [LABELS[row % 3] for row in range(6)] and said == ""
    read = {m: np.stack([pooled(f) for f in telling(seed)["test"]])[:, None] for m, seed in (("text", 0), ("audio", 1))}
    logits = mer.load(export.folder).scores({name: (features, None) for name, features in read.items()})
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose([list(row["probabilities"].values()) for row in rows], chances, rtol=1e-5)


def test_rows_of_a_table_are_found_by_their_names(
    export: Export, place: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, said = predicted(capsys, asked(export, named(new), file=place / "corpus/test_sent_emo.csv"))
    assert len(rows) == 6 and rows[4]["text"] == "Line 4." and "6 labelled utterances: accuracy 100.00" in said
    own = tmp_path / "own.csv"
    own.write_text("id,label\ndia1_utt0,joy\ndia0_utt1,anger\nnobody,joy\n", encoding="utf-8")
    rows, said = predicted(capsys, asked(export, named(new), file=own))
    assert [row["label"] for row in rows[:2]] == ["joy", "anger"]
    assert rows[2]["fault"] == "text: no features of this name; audio: no features of this name"
    assert "1 utterance is answered from nothing" in said


def test_in_python(export: Export, new: Path) -> None:
    places = dict(word.split("=", 1) for word in named(new))
    model = mer.load(export.folder, features=places)
    found = model.predict_listed()
    assert found["test/dia0_utt1"].label == "anger" and len(found) == 6 and not model.notes


def test_what_is_missing_or_unfit_says_so(export: Export, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(new / "sounds/test/dia0_utt0.npy", np.full(6, np.nan, dtype=np.float32))
    (new / "sounds/test/dia0_utt1.npy").unlink()
    np.save(new / "sounds/test/dia0_utt2.npy", np.zeros(6, dtype=np.float32))
    rows, said = predicted(capsys, asked(export, named(new)))
    assert [row["fault"] for row in rows] == [""] * 6, "texts are there"
    model = mer.load(export.folder, features=dict(word.split("=", 1) for word in named(new)))
    live = model.given["audio"].encode(from_names(model.listed, speaker="").dialogues)  # type: ignore[union-attr]
    assert live.faults_N[:4] == [
        "its features cannot be used: holds NaN or infinity",
        "no features of this name",
        "its features are all zero",
        "",
    ]
    assert live.present_N.tolist() == [False] * 3 + [True] * 3 and said == ""


def test_features_of_another_extractor_are_told(export: Export, new: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (new / "sounds/test").iterdir():
        np.save(path, 500 + 100 * np.load(path))
    _, said = predicted(capsys, asked(export, named(new)))
    assert "note: features of audio are unlike those of the training" in said and "of text" not in said


def words(export: Export, features: tuple[str, ...], **more: Any) -> str:
    with pytest.raises(MerError) as caught:
        run(asked(export, features, **more), io.StringIO())
    return caught.value.message


def test_refused_in_one_message(export: Export, place: Path, new: Path, tmp_path: Path) -> None:
    text, audio = named(new)
    assert "features that others extracted" in words(export, ())
    assert "no place of audio is named" in words(export, (text,))
    assert "names two places for text" in words(export, (text, audio, text))
    assert "video: " in words(export, (text, audio, f"video={new}"))
    assert "reads features of it that others extracted" in words(export, (text, audio), texts=("Hi",))
    assert words(export, (text, f"audio={new / 'nowhere'}")).startswith(f"--features: {new / 'nowhere'}: no such file")
    (new / "bad.pkl").write_bytes(b"")
    assert "is a pickle, which can run code" in words(export, (text, f"audio={new / 'bad.pkl'}"))
    wide = new / "wide"
    wide.mkdir()
    np.save(wide / "test_dia0_utt0.npy", np.ones(768, dtype=np.float32))
    found = words(export, (text, f"audio={wide}"))
    assert "768 in test_dia0_utt0.npy" in found and "reads 6 (audio, trained on file:" in found
    np.save(new / "sounds/test/dia1_utt0.npy", np.ones(5, dtype=np.float32))
    assert "6 in 5, 5 in 1 (e.g. test/dia1_utt0.npy)" in words(export, (text, audio))
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("id,text\nx1,a\nx2,b\n", encoding="utf-8")
    assert "holds features of none of the 2 utterances" in words(export, (text, audio), file=foreign)


def test_a_model_that_reads_texts_needs_no_features(exported: Export, tmp_path: Path) -> None:
    assert "makes its own features of text" in words(exported, (str(tmp_path),))
    with pytest.raises(MerError, match="makes its own features"):
        mer.load(exported.folder, features=tmp_path)


def test_frames_of_clips_in_folders_need_a_table(export: Export, new: Path, place: Path) -> None:
    frames = LAYOUTS["frames"](new / "faces", telling(1, "test"), PER_DIALOGUE)
    text, _ = named(new)
    assert "may be a clip, or a frame of one" in words(export, (text, f"audio={frames}"))
    run(asked(export, (text, f"audio={frames}"), file=place / "corpus/test_sent_emo.csv"), io.StringIO())
