"""YAML as users write it: lines are known, nothing is silently dropped."""

from __future__ import annotations

import pytest

from mer.errors import Faults, MerError
from mer.read_yaml import plain_value
from mer.study.space.yaml_file import read_yaml


def parsed(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path)


def faults(tmp_path, text) -> str:
    file = parsed(tmp_path, text)
    with pytest.raises(Faults) as caught:
        file.raise_faults()
    return str(caught.value).replace(str(file.path), "FILE")


def refused(tmp_path, text) -> str:
    with pytest.raises(MerError) as caught:
        parsed(tmp_path, text)
    return str(caught.value).replace(str(tmp_path / "x.yaml"), "FILE")


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "+1e-4", "1.0e-4", ".1e-3", "1_0e-5"])
def test_scientific_notation_is_a_number(tmp_path, text):
    assert parsed(tmp_path, f"lr: {text}").data == {"lr": 1e-4}
    assert plain_value(text, "--set a") == 1e-4


@pytest.mark.parametrize("text", ["e-4", "1e", "abc1e-4", "1e-4x", "'1e-4'"])
def test_text_stays_text(tmp_path, text):
    assert isinstance(parsed(tmp_path, f"lr: {text}").data["lr"], str)


def test_repeated_keys_name_both_lines_and_several_come_together(tmp_path):
    assert faults(tmp_path, "a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 4\n") == (
        "FILE:5: b.c: repeated key, first on line 3\n  allowed: each key once\n  next: remove one of the two\n"
        "FILE:6: a: repeated key, first on line 1\n  allowed: each key once\n  next: remove one of the two"
    )


def test_lines_of_keys_and_items(tmp_path):
    file = parsed(tmp_path, "a:\n  - x\n  - {y: 1}\nb: 2\n")
    where = {keys: file.where(keys).rsplit(":", 1)[1] for keys in [("a", 0), ("a", 1, "y"), ("b",), ("a", 1, "nope")]}
    assert where == {("a", 0): "2", ("a", 1, "y"): "3", ("b",): "4", ("a", 1, "nope"): "3"}


def test_anchors_and_merge_keys(tmp_path):
    text = "base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nagain: {<<: *b, z: 4}\nsame: *b\n"
    file = parsed(tmp_path, text)
    file.raise_faults()  # overriding a merged key is no repetition
    assert file.data["use"] == {"x": 1, "y": 3}
    assert file.data["again"] == {"x": 1, "y": 2, "z": 4}
    assert file.data["same"] == file.data["base"] == {"x": 1, "y": 2}


def test_a_merging_mapping_used_twice(tmp_path):
    file = parsed(tmp_path, "a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: *b\nd: {<<: *b}\n")
    file.raise_faults()
    assert file.data["b"] == file.data["c"] == file.data["d"] == {"x": 2}


def test_of_several_merged_the_first_wins(tmp_path):
    file = parsed(tmp_path, "a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}\n")
    file.raise_faults()
    assert file.data["c"] == {"x": 1, "y": 2}


def test_a_repetition_beside_a_merge_is_found(tmp_path):
    assert "FILE:5: use.y: repeated key, first on line 4" in faults(
        tmp_path, "base: &b {y: 1}\nuse:\n  <<: *b\n  y: 2\n  y: 3\n"
    )


def test_an_anchor_inside_itself(tmp_path):
    assert "FILE:1: a.b: the anchor contains itself" in faults(tmp_path, "a: &a {b: *a}")
    assert "contains itself" in faults(tmp_path, "a: &a [*a]")


@pytest.mark.parametrize("key", ["1", "true", "1e-4", "null", "2024-01-01"])
def test_keys_that_are_not_text(tmp_path, key):
    text = faults(tmp_path, f"a: 1\n{key}: 2\n")
    assert text.startswith("FILE:2: the key ") and "names, in quotes" in text


def test_a_list_as_key(tmp_path):
    assert "FILE:1: a: a key that is a list or mapping is not text" in faults(tmp_path, "a: {[1]: 2}")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: [1, 2\n", 3, "expected ',' or ']'"),
        ("a: 1\n\tb: 2\n", 2, "found a tab character"),
        ("a: b: c\n", 1, "mapping values are not allowed"),
        ("a: 1\n---\nb: 2\n", 2, "expected a single document in the stream"),
        ("a: *nope\n", 1, "undefined alias"),
    ],
)
def test_not_yaml(tmp_path, text, line, words):
    shown = refused(tmp_path, text)
    assert shown.startswith(f"FILE:{line}: is not YAML: ") and words in shown
    assert shown.endswith("next: mind indentation, colons, quotes")


def test_control_characters(tmp_path):
    assert refused(tmp_path, b"a: \x01\n").startswith("FILE:1: is not YAML: unacceptable character")


def test_not_utf8(tmp_path):
    assert (
        refused(tmp_path, "ä: 1".encode("latin-1"))
        == "FILE: is not UTF-8 text (invalid continuation byte at byte 0)\n  next: save it as UTF-8"
    )


def test_bom_is_fine(tmp_path):
    assert parsed(tmp_path, b"\xef\xbb\xbfa: 1").data == {"a": 1}


def test_impossible_date(tmp_path):
    assert "FILE:2: b: got 2024-13-45, which YAML reads as a date\n  next: put it in quotes" in faults(
        tmp_path, "a: 1\nb: 2024-13-45\n"
    )


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_empty_file(tmp_path, text):
    assert parsed(tmp_path, text).data is None


def test_missing_file_lists_the_spaces_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search_spaces").mkdir()
    for name in ("b", "a"):
        (tmp_path / f"search_spaces/{name}.yaml").touch()
    with pytest.raises(MerError) as caught:
        read_yaml(tmp_path / "no.yaml")
    assert str(caught.value).endswith("no.yaml: no such file\n  allowed: search_spaces/a.yaml, search_spaces/b.yaml")


def test_a_folder(tmp_path):
    with pytest.raises(MerError, match="is a folder"):
        read_yaml(tmp_path)


@pytest.mark.parametrize("text", ["[", "a: b: c"])
def test_values_of_set_that_are_not_yaml(text):
    with pytest.raises(MerError, match="the value is not YAML"):
        plain_value(text, "--set a")
