"""Atomic files and hashes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mer.files import atomic_path, sha256_file, sha256_json, write_json, write_text


def test_the_file_appears_whole_at_the_end(tmp_path):
    target = tmp_path / "new" / "folder" / "x.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        assert temporary.parent == target.parent and not target.exists()
        temporary.write_text("whole")
    assert target.read_text() == "whole" and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path, fault):
    target = tmp_path / "x.txt"
    target.write_text("old")
    with pytest.raises(fault), atomic_path(target) as temporary:
        temporary.write_text("new")
        raise fault
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_nothing_written_is_a_fault_of_the_caller(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x"):
        pass
    assert not list(tmp_path.iterdir())


def test_two_writers_do_not_share_a_temporary_file(tmp_path):
    target = tmp_path / "x"
    with atomic_path(target) as first, atomic_path(target) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first"  # the last rename wins, whole


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    target = tmp_path / "x"
    target.write_text("old")
    code = (
        "import os, signal, sys; from pathlib import Path; from mer.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(target)], timeout=60).returncode == -9
    assert target.read_text() == "old"


def test_text_and_json(tmp_path):
    write_text(tmp_path / "t", "zähne\n")
    assert (tmp_path / "t").read_bytes() == "zähne\n".encode()
    write_json(tmp_path / "j", {"b": 0.1 + 0.2, "a": "ü"})
    text = (tmp_path / "j").read_text("utf-8")
    assert json.loads(text) == {"a": "ü", "b": 0.1 + 0.2}
    assert text.index('"a"') < text.index('"b"') and "ü" in text and text.endswith("}\n")


def test_hashes_depend_on_the_value_only(tmp_path):
    value = {"b": [1, 2.5, None, True], "a": {"y": "ü", "x": 1e-5}}
    same = {"a": {"x": 0.00001, "y": "ü"}, "b": (1, 2.5, None, True)}
    assert sha256_json(value) == sha256_json(same)
    written_out = r'{"a":{"x":1e-05,"y":"\u00fc"},"b":[1,2.5,null,true]}'
    assert sha256_json(value) == hashlib.sha256(written_out.encode()).hexdigest()
    for other in ({**value, "b": [1, 2.5, None, False]}, {**value, "c": None}, {**value, "b": [2.5, 1, None, True]}):
        assert sha256_json(other) != sha256_json(value)
    Path(tmp_path / "f").write_bytes(b"abc")
    assert sha256_file(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
