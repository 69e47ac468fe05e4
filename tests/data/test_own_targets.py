"""Numbers to predict and several labels of a row: `data.task` regression and multilabel."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from mer.config import DataConfig, TrialConfig, flatten, nest
from mer.data import open_corpus
from mer.data.check.summary import check
from mer.errors import MerError

VAD = "text,valence,arousal,label\nhi,1,2.5,joy\nyou,-0.5,,sad\nthere,,,joy\nnow,3,0,sad\n"


def own(folder, table, splits=("train", "dev"), **keys):
    folder.mkdir(exist_ok=True)
    tables = table if isinstance(table, dict) else {"train": table, "dev": table}
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return open_corpus(DataConfig(dataset="csv", root=str(folder), **keys), splits)


def refused(folder, table, **keys) -> str:
    with pytest.raises(MerError) as caught:
        own(folder, table, **keys)
    return str(caught.value)


def same(found, wanted):
    return np.array_equal(found, np.array(wanted, dtype=np.float32), equal_nan=True)


def test_several_numbers_of_a_row_and_missing_ones(tmp_path):
    corpus = own(tmp_path / "a", VAD, task="regression", targets=["valence", "arousal"])
    assert corpus.kind == "regression" and corpus.label_names == {"emotion": ("valence", "arousal")}
    labels = corpus.labels("train", "emotion")
    assert labels.dtype == np.float32
    assert same(labels, [[1, 2.5], [-0.5, np.nan], [np.nan, np.nan], [3, 0]])
    assert {u.emotion for u in corpus.utterances("train")} == {""}


def test_numbers_have_names_of_their_own(tmp_path):
    corpus = own(tmp_path / "a", VAD, task="regression", targets={"v": "valence", "a": "arousal"})
    assert corpus.label_names == {"emotion": ("v", "a")}


def test_one_number_in_the_column_of_the_label(tmp_path):
    table = "text,label\nhi,-3\nyou,1.6666666\nthere,\nnow,0\n"
    corpus = own(tmp_path / "a", table, task="regression", label="sentiment", range=[-3, 3])
    assert corpus.label_names == {"sentiment": ("label",)}
    assert same(corpus.labels("dev", "sentiment"), [[-3], [1.6666666], [np.nan], [0]])


def test_words_that_stand_for_numbers(tmp_path):
    table = "text,intensity\nhi,Normal\nyou, strong\nnow,1.5\n"
    levels = {"normal": 1, "strong": 2}
    corpus = own(tmp_path / "a", table, task="regression", targets=["intensity"], levels=levels)
    assert same(corpus.labels("train", "emotion"), [[1], [2], [1.5]])


@pytest.mark.parametrize(
    ("cell", "keys", "said"),
    [
        ("abc", {}, "train.csv:3: valence is 'abc'\n  allowed: a number, or nothing; words that stand for numbers"),
        ("inf", {}, "valence is 'inf'"),
        ("1_000", {}, "valence is '1_000'"),
        ("1e99", {}, "a number that single precision can hold"),
        ("3.5", {"range": [-3, 3]}, "valence is 3.5\n  allowed: from -3 to 3 (data.range)"),
        ("weak", {"levels": {"strong": 2}}, "allowed: strong (data.levels), a number, or nothing"),
    ],
)
def test_what_is_no_number_is_refused_with_its_line(tmp_path, cell, keys, said):
    table = f"text,valence\nhi,1\nyou,{cell}\nnow,2\n"
    assert said in refused(tmp_path / "a", table, task="regression", targets=["valence"], **keys)


def test_every_fault_of_a_table_is_in_one_message(tmp_path):
    table = "text,valence\nhi,x\nyou,y\nnow,2\n"
    message = refused(tmp_path / "a", table, task="regression", targets=["valence"])
    assert "train.csv:2" in message and "train.csv:3" in message


def test_a_number_that_says_nothing_is_refused(tmp_path):
    message = refused(tmp_path / "a", "text,label\na,2\nb,2\n", task="regression")
    assert "every row of train has 2 for 'label'" in message and "two different numbers" in message
    assert "no row of train has a 'v'" in refused(
        tmp_path / "b", "text,v,w\na,,1\nb,,2\n", task="regression", targets=["v", "w"]
    )


def test_a_column_that_is_not_there_is_named(tmp_path):
    message = refused(tmp_path / "a", VAD, task="regression", targets=["valenc"])
    assert "data.targets:" in message and "Did you mean 'valence'?" in message


@pytest.mark.parametrize(
    ("cell", "separator"), [("joy;fear", None), ("joy | fear ", None), ("\"['joy', 'fear']\"", None), ("joy/fear", "/")]
)
def test_several_labels_of_one_cell(tmp_path, cell, separator):
    table = f"text,label\na,joy\nb,{cell}\nc,\nd,[]\n"
    corpus = own(tmp_path / "a", table, task="multilabel", separator=separator)
    assert corpus.kind == "multilabel" and corpus.label_names == {"emotion": ("joy", "fear")}
    assert same(corpus.labels("train", "emotion"), [[1, 0], [1, 1], [np.nan] * 2, [0, 0]])


def test_a_list_of_json_lines_is_several_labels(tmp_path):
    rows = [{"text": "a", "label": ["joy", "fear"]}, {"text": "b", "label": []}, {"text": "c", "label": "joy"}]
    for split in ("train", "dev"):
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    corpus = open_corpus(DataConfig(dataset="csv", root=str(tmp_path), task="multilabel"))
    assert same(corpus.labels("train", "emotion"), [[1, 1], [0, 0], [1, 0]])


def test_a_column_for_each_label(tmp_path):
    table = "text,happy,sad\na,1,0\nb,no,yes\nc,2.3333,\nd,0,0\n"
    corpus = own(tmp_path / "a", table, task="multilabel", targets=["happy", "sad"])
    assert same(corpus.labels("train", "emotion"), [[1, 0], [0, 1], [1, np.nan], [0, 0]])
    assert "allowed: 0 or 1, yes or no" in refused(
        tmp_path / "b", "text,happy,sad\na,1,0\nb,maybe,1\n", task="multilabel", targets=["happy", "sad"]
    )


def test_labels_may_be_merged_ordered_and_left_out(tmp_path):
    table = "text,label\na,joy;fear\nb,excited\nc,anger\nd,fear\n"
    keys = {"task": "multilabel", "labels": ["fear", "happy"], "merge_labels": {"happy": ["joy", "excited"]}}
    corpus = own(tmp_path / "a", table, **keys)
    assert corpus.label_names == {"emotion": ("fear", "happy")}
    assert same(corpus.labels("train", "emotion"), [[1, 1], [0, 1], [0, 0], [1, 0]])


def test_a_label_that_train_lacks_and_one_label_alone_are_refused(tmp_path):
    tables = {"train": "text,label\na,joy\nb,fear\n", "dev": "text,label\na,joy;anger\n"}
    assert "dev has labels that train does not have: 'anger' (1)" in refused(tmp_path / "a", tables, task="multilabel")
    assert "'joy' is the only label of train" in refused(
        tmp_path / "b", "text,label\na,joy\nb,joy\n", task="multilabel"
    )


def test_splits_are_made_of_rows_without_classes(tmp_path):
    rows = "".join(f"t{i},{i / 7}\n" for i in range(40))
    (tmp_path / "all.csv").write_text("text,label\n" + rows)
    data = DataConfig(
        dataset="csv", root=str(tmp_path / "all.csv"), task="regression", split={"dev": 0.25, "test": 0.25}
    )
    corpus = open_corpus(data, ("train", "dev", "test"))
    assert [len(corpus.utterances(split)) for split in ("train", "dev", "test")] == [20, 10, 10]


def test_a_reader_of_classes_is_refused_with_what_reads_numbers(meld_folder):
    root = meld_folder(train=[{}, {"Utterance_ID": 1, "Emotion": "joy"}])
    with pytest.raises(MerError) as caught:
        open_corpus(DataConfig(dataset="meld", root=str(root), task="regression"), ("train",))
    assert "meld has classes alone" in str(caught.value) and "data.dataset=csv" in caught.value.then


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"targets": ["a"]}, "data.targets is of data.task regression and multilabel, and data.task is class"),
        ({"task": "regression", "labels": ["a", "b"]}, "data.labels is of data.task class and multilabel"),
        ({"task": "multilabel", "range": [0, 1]}, "data.range is of data.task regression"),
        ({"task": "regression", "separator": ";"}, "data.separator is of data.task multilabel"),
        ({"task": "regression", "range": [3, -3]}, "the smaller number comes first"),
        ({"task": "regression", "range": [True, 3]}, "write two numbers"),
        ({"task": "regression", "range": "-3..3"}, "write two numbers"),
        ({"task": "regression", "levels": {"a": "b"}}, "got 'b', not a number"),
        ({"task": "regression", "levels": [1]}, "write {normal: 1, strong: 2}"),
        ({"task": "regression", "levels": {"a": 9}, "range": [0, 1]}, "'a' is 9, outside data.range [0.0, 1.0]"),
        ({"task": "regression", "targets": ["a", "a"]}, "the name 'a' is there twice"),
        ({"task": "regression", "targets": {"a": "x", "b": "x"}}, "the column 'x' is there twice"),
        ({"task": "regression", "targets": "valence"}, "write [valence, arousal], or {valence: COLUMN}"),
        ({"task": "multilabel", "targets": ["a"]}, "'a' alone is not several labels"),
        ({"task": "multilabel", "targets": ["a", "b"], "labels": ["a", "b"]}, "both name the labels"),
        ({"task": "ordinal"}, "'class', 'regression' or 'multilabel'"),
    ],
)
def test_bad_keys_of_data_in_one_message(keys, said):
    with pytest.raises(ValidationError) as caught:
        DataConfig(**keys)
    assert caught.value.error_count() == 1 and said in str(caught.value)


@pytest.mark.parametrize("targets", [["valence", "arousal"], {"v": "valence", "a": "arousal"}])
def test_keys_survive_being_written_as_dotted_ones(targets):
    data = {"dataset": "csv", "task": "regression", "targets": targets, "range": [0, 9], "levels": {"low": 1}}
    config = DataConfig(**data)
    assert DataConfig.model_validate(nest(flatten({"data": config.model_dump(mode="json")}))["data"]) == config
    assert "task" not in TrialConfig().model_dump()["data"]  # configurations of classes keep their hashes


def test_a_check_counts_numbers_and_labels(tmp_path):
    corpus = own(tmp_path / "a", VAD, task="regression", targets=["valence", "arousal"])
    summary = check(corpus)[0]
    assert summary.label_counts == {"emotion": {"valence": 3, "arousal": 2}} and summary.unlabelled == {"emotion": 1}
    assert summary.numbers["valence"] == (-0.5, pytest.approx(3.5 / 3), 3)
    corpus = own(tmp_path / "b", "text,label\na,joy;fear\nb,joy\nc,\n", task="multilabel")
    summary = check(corpus)[0]
    assert summary.label_counts == {"emotion": {"joy": 2, "fear": 1}} and summary.unlabelled == {"emotion": 1}
