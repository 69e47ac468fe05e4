"""`data.folds`: which rows are together, that nobody crosses, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from mer.config import DataConfig, FoldRule, TrialConfig, settings_of
from mer.data import open_corpus
from mer.data.folds import POOL
from mer.data.registry import folds_of, unit_of
from mer.errors import MerError

LABELS = ("calm", "cross", "glad")


def table(root: Path, *, speakers: int = 6, each: int = 6, dialogues: bool = False, header: str = "") -> Path:
    """Rows of so many speakers; two of them in a dialogue, or each row alone."""
    lines = [header or "text,label,speaker,studio" + (",dialogue" if dialogues else "")]
    for row in range(speakers * each):
        speaker = row % speakers
        cells = [f"text {row}", LABELS[(row // speakers) % 3], f"s{speaker}", str(speaker // 2 + 1)]
        lines.append(",".join(cells + ([f"d{speaker // 2}-{row // (2 * speakers)}"] if dialogues else [])))
    path = root / "own.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def data(path: Path, folds: object, **more: object) -> DataConfig:
    return DataConfig.model_validate({"dataset": "csv", "root": str(path), "folds": folds, **more})


SESSIONS = {"columns": {"session": "studio"}}


@pytest.mark.parametrize(
    ("folds", "more", "names"),
    [
        ("speaker", {}, ["s0", "s1", "s2", "s3", "s4", "s5"]),
        (3, {}, ["part 1", "part 2", "part 3"]),
        ("session", SESSIONS, ["session 1", "session 2", "session 3"]),
        ({"by": "row", "k": 4, "mixed_speakers": True}, {}, ["part 1", "part 2", "part 3", "part 4"]),
    ],
)
def test_every_row_is_test_once_and_dev_once(tmp_path, folds, more, names):
    found = folds_of(data(table(tmp_path), folds, **more))
    assert found is not None and [fold.name for fold in found.folds] == names
    everything = list(range(36))
    assert sorted(found.test_rows) == sorted(found.dev_rows) == everything
    for fold in found.folds:
        assert sorted([*fold.train, *fold.dev, *fold.test]) == everything
    assert found.ids[:2] == ("train/row1_utt0", "train/row2_utt0")


@pytest.mark.parametrize("folds", ["speaker", 3, {"by": "speaker", "k": 4, "seed": 7}])
def test_no_speaker_crosses(tmp_path, folds):
    config = data(table(tmp_path), folds)
    found, speakers = folds_of(config), [u.speaker for u in open_corpus(config, (POOL,)).utterances(POOL)]
    for fold in found.folds:
        parts = [{speakers[row] for row in rows} for rows in (fold.train, fold.dev, fold.test)]
        assert all(parts) and not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_who_speaks_in_one_dialogue_stays_together(tmp_path):
    config = data(table(tmp_path, dialogues=True), "speaker")
    found = folds_of(config)
    assert [fold.name for fold in found.folds] == ["s0 and s1", "s2 and s3", "s4 and s5"]
    with pytest.raises(MerError) as caught:
        folds_of(data(table(tmp_path, dialogues=True), 4))
    assert "has 3 speakers (those who speak in one dialogue count as one): too few for 4 folds" in caught.value.found


def test_folds_depend_on_seed_and_names_alone(tmp_path):
    path = table(tmp_path)
    one, again, other = (folds_of(data(path, {"k": 3, "seed": seed})) for seed in (0, 0, 1))
    assert all((a.test == b.test).all() for a, b in zip(one.folds, again.folds, strict=True))
    assert any((a.test != b.test).any() for a, b in zip(one.folds, other.folds, strict=True))


def test_a_search_may_train_some_folds_only(tmp_path):
    whole = folds_of(data(table(tmp_path), {"k": 3}))
    found = folds_of(data(table(tmp_path), {"k": 3, "search_folds": 1}))
    assert len(found.folds) == 1 and (found.folds[0].test == whole.folds[0].test).all()
    assert found.notes == (
        "folds by speaker: 3, of which 1 are trained here, each with 12 rows of test, the next one's are its dev",
    )


def test_single_rows_are_divided_label_by_label(tmp_path):
    config = data(table(tmp_path), {"by": "row", "k": 4, "mixed_speakers": True})
    found, labels = folds_of(config), [u.emotion for u in open_corpus(config, (POOL,)).utterances(POOL)]
    counts = np.array([[sum(labels[row] == name for row in fold.test) for name in LABELS] for fold in found.folds])
    assert counts.max() - counts.min() <= 1


def test_all_splits_of_the_data_are_divided_anew(tmp_path):
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.csv").write_text(table(tmp_path, each=3).read_text(), encoding="utf-8")
    (tmp_path / "own.csv").unlink()
    config = data(tmp_path, 3)
    corpus = open_corpus(config)
    assert [len(corpus.utterances(split)) for split in ("train", "dev")] == [54, 54]
    assert {u.id.split("/")[0] for u in corpus.utterances("train")} == {"train", "dev", "test"}
    assert unit_of(config, "test").name == "speaker" and unit_of(config, "test").of("dev/row2_utt0") == "s1"


@pytest.mark.parametrize(
    ("folds", "more", "found"),
    [
        ({"by": "row", "k": 3}, {}, "6 of 6 speakers of csv would be in train and in test of a fold, e.g. 's0'"),
        ("session", {}, "36 of 36 rows of csv have no session"),
        (7, {}, "csv has 6 speakers: too few for 7 folds"),
        ({"by": "dialogue", "k": 3}, {}, "6 of 6 speakers of csv would be in train and in test"),
    ],
)
def test_refused_with_these_data(tmp_path, folds, more, found):
    with pytest.raises(MerError) as caught:
        folds_of(data(table(tmp_path), folds, **more))
    assert caught.value.where == "data.folds" and found in caught.value.found and caught.value.allowed


def test_rows_never_cut_dialogues(tmp_path):
    with pytest.raises(MerError, match="has dialogues, which rows would cut"):
        folds_of(data(table(tmp_path, dialogues=True), {"by": "row", "k": 3, "mixed_speakers": True}))


def test_a_class_that_train_lacks_is_refused(tmp_path):
    path = table(tmp_path)
    path.write_text(path.read_text() + "odd,rare,s5,3\n", encoding="utf-8")
    with pytest.raises(MerError, match=r"train of the fold whose test is s5 has no 'rare'|has no 'rare'"):
        folds_of(data(path, "speaker"))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("speakers", "got 'speakers'. Did you mean 'speaker'? Allowed: session, speaker, a number of folds"),
        ("row", "folds by row need a number: {by: row, k: 5}"),
        ({"seed": 1}, "folds need a number: {k: 5}"),
        (2, "greater than or equal to 3"),
        (True, "got true. Allowed: session"),
        ({"k": 4, "sed": 1}, "unknown key 'sed'. Did you mean 'seed'?"),
        ([4], "got [4]. Allowed"),
        ({"k": 4, "search_folds": 0}, "greater than or equal to 1"),
    ],
)
def test_refused_by_themselves(said, words):
    with pytest.raises(ValidationError) as caught:
        DataConfig.model_validate({"folds": said})
    assert words in str(caught.value) and caught.value.error_count() == 1


def test_what_has_no_place_beside_folds():
    with pytest.raises(ValidationError, match=r"data.split has no place beside it"):
        DataConfig.model_validate({"folds": 3, "split": {}})
    with pytest.raises(ValidationError, match=r"data.folds has no place beside distill"):
        TrialConfig.model_validate({"data": {"folds": 3}, "distill": {"teacher": "exports/x"}})


def test_files_are_those_of_any_folds():
    encoders = {"text": {"backbone": "minilm"}}
    configs = [
        TrialConfig.model_validate({"data": {"folds": folds}, "encoders": encoders})
        for folds in ("speaker", {"k": 4, "seed": 3}, None)
    ]
    assert settings_of(configs[0]) == settings_of(configs[1]) != settings_of(configs[2])
    assert DataConfig().model_dump() == DataConfig.model_validate({"folds": None}).model_dump()  # hashes stay
    assert FoldRule(k=4).model_dump() == {"k": 4}


def advice(config: DataConfig) -> str:
    with pytest.raises(MerError) as caught:
        folds_of(config)
    return caught.value.then


def test_the_advice_works_as_typed(tmp_path):
    path = table(tmp_path)
    assert advice(data(path, {"by": "row", "k": 3})) == "--set 'data.folds={by: speaker, k: 3}'"
    assert advice(data(path, {"by": "dialogue", "k": 9})) == "--set 'data.folds={by: speaker, k: 6}'"
    for speakers in (2, 4):  # one or two groups of those who speak in one dialogue
        path = table(tmp_path, speakers=speakers, each=9, dialogues=True)
        said = advice(data(path, 5))
        assert said == "or let speakers cross: --set 'data.folds={by: dialogue, k: 5, mixed_speakers: true}'"
        folds_of(data(path, {"by": "dialogue", "k": 5, "mixed_speakers": True}))
    nameless = tmp_path / "nameless.csv"
    nameless.write_text("\n".join(["text,label", *(f"t{n},{LABELS[n % 3]}" for n in range(30))]), encoding="utf-8")
    said = advice(data(nameless, "speaker"))
    assert said == "--set 'data.folds={by: dialogue, k: 3}'"
    found = folds_of(data(nameless, {"by": "dialogue", "k": 3}))
    assert found is not None and found.notes[0].endswith("; the data name no speakers, who may be in several")
