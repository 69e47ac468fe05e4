"""A corpus described in a YAML file, and the dataset that a folder looks like."""

from __future__ import annotations

import pytest

from mer.data.corpus_file import read_corpus_file
from mer.data.settings import data_config, with_dataset
from mer.errors import MerError

FULL = "root: a.csv\ncolumns: {text: said, label: felt}\nmerge_labels: {happy: [joy, fun]}\nlabels: [happy, 'no', 3]\n"


def described(tmp_path, text: str, name: str = "my corpus.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_description_becomes_keys(tmp_path):
    path = described(tmp_path, FULL)
    keys = read_corpus_file(path)
    assert keys["data.dataset"] == "csv" and keys["data.root"] == str(tmp_path / "a.csv")
    assert keys["data.name"] == "my-corpus" and keys["data.columns.text"] == "said"
    config = data_config(path, None)
    assert config.labels == ("happy", "no", "3") and config.merge_labels == (("happy", ("joy", "fun")),)
    assert config.corpus_name == "my-corpus" and config.columns.label == "felt"


def test_what_counts_more(tmp_path):
    path, other = str(described(tmp_path, FULL)), {"data.root": "elsewhere", "data.columns.text": "x"}
    in_the_file = with_dataset({"data.dataset": path, **other})
    assert (in_the_file["data.root"], in_the_file["data.columns.text"]) == ("elsewhere", "x")
    on_the_line = with_dataset({"data.dataset": path, **other}, typed={"data.dataset", "data.columns.text"})
    assert on_the_line["data.root"] == str(tmp_path / "a.csv") and on_the_line["data.columns.text"] == "x"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("root: [1", ":2: is not YAML"),
        ("- a", "describes no corpus"),
        ("", "describes no corpus"),
        ("rooot: a.csv", "rooot: unknown key. Did you mean 'root'?"),
        ("columns: {txt: a}", ":1: columns.txt: unknown key. Did you mean 'text'?\n  allowed: text, label, speaker"),
        ("labels: [yes, no]", "put it in quotes"),
        ("labels: [a, A]", "is there twice"),
        ("split: {dev: 0.9, test: 0.2}", "leave nothing for train"),
        ("labels: &x [a, b]\nname: *x", "name: got ['a', 'b']\n  allowed: text"),
        ("a: !!python/object:os.system x", ":1: a: the tag !!python/object:os.system has no meaning here"),
        ("a: " + "[" * 3000, "nested more than 40 levels deep"),
        ("#" * 70_000, "bytes"),
        ("a: !!bool maybe", ":1: a: got maybe, which YAML cannot read as true or false"),
    ],
)
def test_faults_of_a_description_are_one_message(tmp_path, text, found):
    with pytest.raises(MerError) as caught:
        data_config(described(tmp_path, text), None)
    assert found in str(caught.value) and "my corpus.yaml" in str(caught.value)


def test_the_dataset_is_what_the_folder_looks_like(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/train.csv").write_text("text,label\n1,a\n2,b\n")
    (tmp_path / "meld").mkdir()
    (tmp_path / "meld/train_sent_emo.csv").write_text("")
    own, meld = str(tmp_path / "own"), str(tmp_path / "meld")
    assert with_dataset({"data.root": own})["data.dataset"] == "csv"
    assert with_dataset({"data.root": meld}) == {"data.root": meld}  # the default, which is not written down
    said = {"data.root": own, "data.dataset": "meld"}
    assert with_dataset(said) == said, "the file says both"
    assert with_dataset(said, typed={"data.root"})["data.dataset"] == "csv"
    assert with_dataset(said, typed={"data.root", "data.dataset"}) == said
    gone = {"data.root": str(tmp_path / "no"), "data.dataset": "ravdess"}
    assert with_dataset(gone, typed={"data.root"}) == gone


def test_a_key_that_is_none(tmp_path):
    for words, found in (("data.colums.text=a", "unknown key"), ("text=a", "expected data.KEY=VALUE")):
        with pytest.raises(MerError, match=found):
            data_config(tmp_path, None, [words])


def test_a_description_may_be_typed_as_the_root_too(tmp_path):
    """What `mer.data check ./mycorpus.yaml` prints as the next command is typed into a space that names MELD."""
    path = tmp_path / "corpus.yaml"
    path.write_text("root: a.csv\nlabels: [x, y]\n")
    space = {"data.dataset": "meld", "data.root": str(path), "data.label": "emotion"}
    said = with_dataset(space, typed={"data.root"})
    assert said["data.dataset"] == "csv" and said["data.root"] == str(tmp_path / "a.csv")
    assert said["data.labels"] == ["x", "y"] and said["data.label"] == "emotion"
    typed = {**space, "data.labels": ["y", "x"]}
    assert with_dataset(typed, typed={"data.root", "data.labels"})["data.labels"] == ["y", "x"]


def test_numbers_of_a_published_corpus_have_the_range_of_its_scores(tmp_path):
    numbers = {"data.dataset": "mosi", "data.root": str(tmp_path), "data.task": "regression"}
    assert with_dataset(numbers)["data.range"] == [-3, 3]
    assert with_dataset({**numbers, "data.dataset": "simsv2"})["data.range"] == [-1, 1]
    assert with_dataset({**numbers, "data.range": [0, 9]})["data.range"] == [0, 9]
    assert "data.range" not in with_dataset({**numbers, "data.task": "class"})
    assert "data.range" not in with_dataset({**numbers, "data.dataset": "iemocap"})
    assert data_config(tmp_path, "mosei", ["data.task=regression"]).range == (-3.0, 3.0)
