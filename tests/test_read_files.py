"""Files that others may have written: what is opened, and which JSON comes through."""

from __future__ import annotations

import json
import os
import pickle
import socket
import struct
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from mer import console
from mer.errors import MerError
from mer.files import sha256_file
from mer.read_files import (
    NoRegularFile,
    Unreadable,
    open_regular,
    parse_json,
    read_bytes,
    read_json,
    read_model,
    read_object,
    require_regular,
    shown,
)
from mer.tensor_header import read_header


def irregular(folder: Path) -> dict[str, Path]:
    """A place of each kind that is no regular file."""
    places = {"a folder": folder / "folder", "a pipe": folder / "pipe", "a socket": folder / "socket"}
    places["a folder"].mkdir()
    os.mkfifo(places["a pipe"])
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(folder)  # the path of a socket is short
        made.bind("socket")
    return {**places, "a device": Path("/dev/zero")}


@pytest.mark.timeout(20)
def test_only_regular_files_are_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind, place in irregular(tmp_path).items():
        link = tmp_path / f"link to {kind}"
        link.symlink_to(place)
        for path in (place, link):
            for read in (require_regular, open_regular, read_json, read_header, sha256_file):
                with pytest.raises(NoRegularFile) as caught:
                    read(path)
                assert console.explain_os_error(caught.value).message.startswith(f"{path}: not a file but {kind}")
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - Ray carries faults from workers
    assert (type(again), str(again)) == (NoRegularFile, str(caught.value))
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing")
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    with open_regular(tmp_path / "link") as stream:
        assert stream.read() == b"content"


def test_size_is_bounded(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_bytes(path, largest=5) == b"12345"
    with pytest.raises(Unreadable, match="has 5 bytes") as caught:
        read_bytes(path, largest=4, then="shorten it")
    assert isinstance(caught.value, MerError) and caught.value.then == "shorten it"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON: Expecting value at line 1, column 1"),
        ('{"a": 1,\n "a": 2}', "the key 'a' is there twice"),
        ('{"b": {"\x41": 1, "\\u0041": 2}}', "the key 'A' is there twice"),
        ("[" * 200_000, "nested more than 64 levels deep"),
        ("[" * 65 + "]" * 65, "nested more than 64 levels deep"),
        ('{"a":' * 65 + "1" + "}" * 65, "nested more than 64 levels deep"),
        ("[1" + "0" * 5000 + "]", "a number of 5001 digits"),
        ('["\\ud800"]', "half of a character"),
        ('{"\\udfff": 1}', "half of a character"),
        (b'"\xff"', "byte 1 is not UTF-8"),
        (b'"\xed\xa0\x80"', "is not UTF-8"),
        ('"\x1b"', "Invalid control character"),
    ],
)
def test_json_that_no_reader_expects(text, words):
    with pytest.raises(Unreadable, match=words) as caught:
        parse_json(text, "x.json", then="write it again")
    assert caught.value.where == "x.json" and caught.value.then == "write it again"


def test_json_that_is_fine(tmp_path):
    deep = "[" * 64 + "]" * 64
    for text in (deep, '{"a": [1, 2.5, null, true, "\\ud83d\\ude00"]}', "1" * 40, '"\\u001b"'):
        assert parse_json(text, "x") == json.loads(text)
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf" + b'{"a": 1}')  # a byte order mark
    assert read_object(tmp_path / "x.json") == {"a": 1}
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(Unreadable, match="is a list") as caught:
        read_object(tmp_path / "x.json")
    assert caught.value.allowed == "a JSON object"


class Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    name: str
    numbers: list[int] = []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "name is missing"),
        ('{"name": 5}', "name is 5\n  allowed: text"),
        ('{"name": null}', "name is null\n  allowed: text"),
        ('{"name": "a", "numbers": [1, true]}', "numbers.1 is true\n  allowed: a whole number"),
        ('{"name": "a", "numbers": {}}', "numbers is an object\n  allowed: a list"),
        ('{"name": "a", "b\\u001b": 1}', "b\\u001b is unknown"),
        ("3", "the whole is 3\n  allowed: an object"),
    ],
)
def test_a_model_names_the_key_at_fault(tmp_path, text, words):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(Unreadable) as caught:
        read_model(tmp_path / "x.json", Model)
    assert caught.value.message == f"{tmp_path / 'x.json'}: {words}"


def test_values_are_shown_in_short():
    assert [shown(value) for value in (1, True, None, "a", [1], {})] == [
        "1",
        "true",
        "null",
        "'a'",
        "a list",
        "an object",
    ]
    assert shown("\x1b[2J\u202e") == r"'\x1b[2J\u202e'" and len(shown("a" * 10_000)) < 70


def tensors_file(path: Path, header: object, content: bytes = b"", *, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + content)
    return path


def test_the_header_of_tensors(tmp_path):
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    found = read_header(tensors_file(tmp_path / "x", {"__metadata__": {"a": "b"}, "t": entry}, bytes(24)))
    assert (found.metadata, found.dtypes, found.shapes) == ({"a": "b"}, {"t": "F32"}, {"t": (2, 3)})
    for header, content, length, words in [
        (b"", b"", None, "without a safetensors header"),
        ({}, b"", 2**62, "without a safetensors header"),
        (b"{" * 100, b"", None, "not JSON"),
        (b'{"a":' * 100_000, b"", None, "levels deep"),
        ([], b"", None, "no safetensors header"),
        ({"t": 5}, b"", None, "no safetensors header"),
        ({"__metadata__": {"a": 1}}, b"", None, "no safetensors header"),
        ({"t": {**entry, "shape": [-1]}}, bytes(24), None, "no safetensors header"),
        ({"t": {**entry, "shape": [2**60]}}, bytes(24), None, "no safetensors header"),
        ({"t": {**entry, "shape": [2**40]}}, bytes(24), None, "promises 4398046511104 bytes of tensors, 24 are there"),
        ({"t": entry}, bytes(25), None, "promises 24 bytes of tensors, 25 are there"),
    ]:
        with pytest.raises(Unreadable, match=words):
            read_header(tensors_file(tmp_path / "x", header, content, length=length))
