"""YAML that means no good is refused at once, in one message; what is merely unusual is read."""

from __future__ import annotations

import time

import pytest

from mer.errors import Faults, MerError
from mer.read_yaml import LARGEST_BYTES, MOST_FAULTS, MOST_VALUES, plain_value
from mer.study.space.yaml_file import read_yaml


def parsed(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return read_yaml(path)


def message(tmp_path, text) -> str:
    started = time.process_time()
    with pytest.raises(MerError) as caught:
        parsed(tmp_path, text).raise_faults()
    assert time.process_time() - started < 5  # a second on a quiet machine
    return str(caught.value).replace(str(tmp_path / "x.yaml"), "FILE")


def bomb(levels: int, width: int) -> str:
    aliases = (f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]\n" for n in range(1, levels))
    return "a0: &a0 [x, x, x]\n" + "".join(aliases)


MERGES = "m0: &m0 {x: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" for n in range(1, 9))


@pytest.mark.parametrize("text", [bomb(9, 9), bomb(3, 400), bomb(40, 2), MERGES, f"[{'a, ' * (MOST_VALUES + 1)}]"])
def test_aliases_count_for_all_that_they_stand_for(tmp_path, text):
    assert f": holds more than {MOST_VALUES} values; an alias (*name) counts for all" in message(tmp_path, text)


def test_aliases_within_the_bound_are_read(tmp_path):
    data = parsed(tmp_path, bomb(4, 9)).data
    assert len(data["a3"]) == 9 and data["a3"][0] == data["a2"] and data["a3"][0] is not data["a3"][1]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1000,
        "[" * 1000 + "]" * 1000,
        "{a: " * 1000,
        "".join(f"{' ' * n}a:\n" for n in range(1000)),
        "- " * 1000 + "a",
        "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [[[[*a{n - 1}]]]]\n" for n in range(1, 300)),
        "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: *a{n - 1}}}\n" for n in range(1, 300)),
    ],
    ids=["open", "lists", "mappings", "block", "items", "aliases", "merges"],
)
def test_depth(tmp_path, text):
    assert "nested more than 40 levels deep" in message(tmp_path, text)


def test_size(tmp_path):
    assert message(tmp_path, "#" * (LARGEST_BYTES + 1)) == (
        f"FILE: has {LARGEST_BYTES + 1} bytes\n  allowed: at most {LARGEST_BYTES}"
    )


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("!!bool maybe", "got maybe, which YAML cannot read as true or false"),
        ("!!float x", "got x, which YAML cannot read as a number"),
        ("!!int x", "got x, which YAML cannot read as a whole number"),
        ('!!int ""', "got '', which YAML cannot read as a whole number"),
        ("!!timestamp x", "got x, which YAML reads as a date"),
        ("2024-01-01", "got 2024-01-01, which YAML reads as a date"),
        ("!!binary aGk=", "the tag !!binary has no meaning here"),
        ("!!set {a, b}", "the tag !!set has no meaning here"),
        ("!!python/object/apply:os.system [ls]", "the tag !!python/object/apply:os.system has no meaning here"),
        ("!nope 1", "the tag !nope has no meaning here"),
        ("!!seq a", "the tag !!seq has no meaning here"),
        ("!!str [a]", "the tag !!str has no meaning here"),
        (".nan", "got .nan\n  allowed: a finite number"),
        ("-.inf", "got -.inf\n  allowed: a finite number"),
        ("1e999", "got 1e999\n  allowed: a finite number"),
        (
            "1" + "0" * 400,
            "got 100000000000..., a number of 401 digits\n  allowed: whole numbers up to 9007199254740992, or text in",
        ),
        ("9" * 5000, "got 999999999999..., a number of 5000 digits"),
        ('"a\\0"', "got 'a\\x00', which holds a control character"),
        ('"\\e[2J"', "got '\\x1b[2J', which holds a control character"),
    ],
)
def test_values(tmp_path, value, found):
    text = message(tmp_path, f"a: 1\nb: {value}\n")
    assert text.startswith("FILE:2: b: ") and found in text and len(text) < 600


def test_an_unreadable_value_is_named_once(tmp_path):
    file = parsed(tmp_path, "a: {b: .nan}\n")
    file.fault(("a", "b"), "got null")
    file.fault(("a",), "got {'b': null}")
    assert len(file.faults) == 1


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: !!str 5", {"a": "5"}),
        ("a: !!float 5", {"a": 5.0}),
        ("a: =", {"a": "="}),
        ("a: <<", {"a": "<<"}),
        ("a: {<<: {b: 1}, c: 2}", {"a": {"b": 1, "c": 2}}),
        ("a: ü".encode("utf-16"), {"a": "ü"}),
        ("a: ü".encode("utf-32"), {"a": "ü"}),
        ("a: ü".encode("utf-8-sig"), {"a": "ü"}),
        ('a: "x\\ty\\n"', {"a": "x\ty\n"}),
    ],
)
def test_what_is_merely_unusual(tmp_path, text, data):
    file = parsed(tmp_path, text)
    file.raise_faults()
    assert file.data == data


def test_utf_16_without_its_mark(tmp_path):
    assert "FILE:1: is not YAML" in message(tmp_path, "a: 1".encode("utf-16-le"))


@pytest.mark.parametrize("key", ['"\\e]0;x\\a"', '"a\\0"'])
def test_control_characters_in_keys(tmp_path, key):
    text = message(tmp_path, f"a: 1\n{key}: 2\n")
    assert text.startswith("FILE:2: the key '") and text.split("\n")[0].isprintable()


def test_of_very_many_faults_the_first_are_said(tmp_path):
    text = message(tmp_path, "".join(f"{n}: 1\n" for n in range(20_000)))
    assert text.count("is not text") == 20 and text.endswith(f"FILE: and {MOST_FAULTS - 20} more")


def test_long_keys_and_values_are_cut(tmp_path):
    file = parsed(tmp_path, f"{'k' * 900}: {'v' * 100_000}\n")
    key, value = next(iter(file.data.items()))
    file.fault((key,), f"got {value!r}")
    with pytest.raises(Faults) as caught:
        file.raise_faults()
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize("make", ["a pipe", "a device"])
def test_what_is_no_file(tmp_path, make):
    import os
    from pathlib import Path

    path = tmp_path / "x.yaml" if make == "a pipe" else Path("/dev/zero")
    if make == "a pipe":
        os.mkfifo(path)
    with pytest.raises(MerError, match=f"is {make}"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!!bool x", "--set a: got x, which YAML cannot read as true or false"),
        ("[" * 1000, "--set a: lists and mappings are nested more than 40 levels deep"),
        ("a: b: c", "--set a: the value is not YAML\n  allowed: a number, text, true, [1, 2]"),
        ("\udcff", "--set a: the value is not YAML"),
        ("*x", "--set a: the value is not YAML"),
        ("1e999", "--set a: got 1e999\n  allowed: a finite number"),
    ],
)
def test_values_of_options(text, words):
    with pytest.raises(MerError) as caught:
        plain_value(text, "--set a")
    assert str(caught.value).startswith(words)
