"""Others' pickles become safetensors; one that would run something is refused, and nothing of it is run."""

from __future__ import annotations

import builtins
import csv
import functools
import json
import operator
import os
import pickle
import struct
import subprocess
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from given_cases import pooled
from safetensors import safe_open
from typer.testing import CliRunner

from mer.config import AudioEncoderConfig, DataConfig, VideoEncoderConfig
from mer.errors import MerError
from mer.features import ensure_features, load_features
from mer.features.__main__ import app
from mer.features.given.mmsa import convert
from mer.features.given.pickled import read_plain


def mmsa(rows: int = 6, *, protocol: int = 4) -> dict[str, Any]:
    """What MMSA's unaligned_50.pkl holds, but small."""
    rng = np.random.default_rng(0)
    said: dict[str, Any] = {}
    for part, count in (("train", rows), ("valid", rows - 2), ("test", rows - 2)):
        audio = rng.normal(size=(count, 5, 3)).astype(np.float32)
        audio[0, 3:] = 0
        scores = np.linspace(-1, 1, count).astype(np.float32)
        said[part] = {
            "raw_text": np.array([f'said, "{part}" {row}' for row in range(count)]),
            "text": rng.normal(size=(count, 4, 8)),
            "text_bert": np.ones((count, 3, 4), dtype=np.int64),
            "audio": audio,
            "vision": np.asfortranarray(rng.normal(size=(count, 5, 2)).astype(np.float32)),
            "id": [f"{part[:2]}video$_${row}" for row in range(count)],
            "audio_lengths": [5] * count,
            "annotations": ["Negative" if score < 0 else "Positive" for score in scores],
            "regression_labels": scores,
            "classification_labels": np.zeros(count),
        }
    return said


def dumped(value: Any, place: Path, protocol: int = 4) -> Path:
    (file := place / "theirs.pkl").write_bytes(pickle.dumps(value, protocol))
    return file


def equal(made: Any, value: Any) -> None:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        np.testing.assert_array_equal(made, value)
        assert made.dtype == value.dtype
    elif isinstance(value, dict):
        assert made.keys() == value.keys()
        for key, item in value.items():
            equal(made[key], item)
    elif isinstance(value, np.ndarray):
        assert made == value.tolist()
    else:
        assert made == value


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_read_as_they_are(protocol: int, tmp_path: Path) -> None:
    value = mmsa()
    value["train"] |= {
        "scalar": np.float64(3.5), "flags": np.array([True, False]), "big": np.arange(3, dtype=">i4"),
        "half": np.ones(2, dtype=np.float16), "none": None, "empty": np.zeros((0, 3)), "words": ["a", ["b", {"c": 1}]],
        "objects": np.array(["x", "yy"], dtype=object), "number": 2**70, "bytes": b"\x00\xff", "word": np.str_("w"),
    }  # fmt: skip
    equal(read_plain(dumped(value, tmp_path, protocol)), value)


def test_mmsas_file_is_converted_and_read(tmp_path: Path) -> None:
    value = mmsa()
    done = convert(dumped(value, tmp_path), tmp_path / "mosi")
    assert done.rows == {"train": 6, "valid": 4, "test": 4} and done.modalities == ("text", "audio", "video")
    with safe_open(done.features, framework="np") as file:
        np.testing.assert_array_equal(file.get_tensor("valid.audio"), value["valid"]["audio"])
        assert json.loads(file.metadata()["ids"])["test"] == value["test"]["id"]
    about = json.loads((tmp_path / "mosi/features.json").read_text(encoding="utf-8"))
    assert about["rows"] == done.rows and about["arrays"]["train.text"] == ["float64", 6, 4, 8]
    with (tmp_path / "mosi/utterances.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0] == {
        "id": "trvideo$_$0", "dialogue": "trvideo", "turn": "0", "split": "train", "text": 'said, "train" 0',
        "sentiment": "negative", "score": "-1",
    }  # fmt: skip

    data = DataConfig(dataset="csv", root=str(done.table), label="sentiment")
    audio = AudioEncoderConfig(backbone=f"file:{done.features}")
    paths = ensure_features(data, audio, ["train", "dev"], cache=tmp_path / "cache", progress=False).paths
    table = load_features(paths["dev"])
    np.testing.assert_allclose(table.features[:, 0], [pooled(one) for one in value["valid"]["audio"]], atol=1e-6)
    seen = VideoEncoderConfig(backbone=f"file:{done.features}")
    assert load_features(
        ensure_features(data, seen, ["dev"], cache=tmp_path / "cache", progress=False).paths["dev"]
    ).features.shape == (4, 1, 2)


def test_the_command_prints_what_to_type_next(tmp_path: Path) -> None:
    file = dumped(mmsa(), tmp_path)
    result = CliRunner().invoke(app, ["convert", str(file), str(tmp_path / "mosi")])
    assert result.exit_code == 0, result.output
    assert (
        "train.audio" in result.output and "6 x 5 x 3" in result.output and "6 train, 4 valid, 4 test" in result.output
    )
    assert f"--set data.root={tmp_path}/mosi/utterances.csv --set data.label=sentiment" in result.output
    assert f"--set encoders.video.backbone=file:{tmp_path}/mosi/features.safetensors" in result.output
    with pytest.raises(MerError, match="is there already"):
        convert(file, tmp_path / "mosi")


def test_infinite_numbers_are_refused_unless_they_may_be_zero(tmp_path: Path) -> None:
    value = mmsa()
    value["test"]["audio"][1, 2] = -np.inf
    file = dumped(value, tmp_path)
    with pytest.raises(MerError, match=r"test.audio has 3 numbers that are NaN or infinite"):
        convert(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert convert(file, tmp_path / "out", zero_unfit=True).replaced == 3


def test_arrays_by_id_and_arrays_without_parts(tmp_path: Path) -> None:
    by_id = convert(dumped({"a": np.ones((2, 3)), "b": np.zeros((1, 3))}, tmp_path), tmp_path / "by_id")
    assert dict(by_id.arrays) == {"a": (2, 3), "b": (1, 3)} and by_id.table is None
    flat = convert(dumped({"id": np.array(["a", "b"]), "audio": np.ones((2, 3))}, tmp_path), tmp_path / "flat")
    assert flat.rows == {"": 2} and flat.modalities == ("audio",)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1, 2], "holds a list"),
        ({}, "holds a dict"),
        ({"train": {"audio": np.ones((2, 3))}}, "train has no id"),
        ({"train": {"id": ["a"], "audio": np.ones((2, 3))}}, "train.audio has 2 rows for 1 ids"),
        ({"train": {"id": ["a"], "audio": np.ones((1, 3))}, "folds": {}}, "holds train, folds"),
        ({"id": ["a"], "text": ["b"]}, "holds no array of numbers"),
        ({"id": [["a"]], "audio": np.ones((1, 3))}, "id is no list of texts"),
    ],
)
def test_other_layouts_are_refused(value: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(MerError) as caught:
        convert(dumped(value, tmp_path), tmp_path / "out")
    assert words in caught.value.found and not (tmp_path / "out").exists()


# ---- pickles that mean no good


class Reduced:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def _raw(*instructions: bytes) -> bytes:
    return b"\x80\x04" + b"".join(instructions) + b"."


def _text(word: str) -> bytes:
    return b"\x8c" + bytes([len(word)]) + word.encode()


def _global(module: str, name: str) -> bytes:
    return _text(module) + _text(name) + b"\x93"


ARRAY = _global("numpy._core.multiarray", "_reconstruct")
EVIL: dict[str, tuple[Any, str]] = {
    "os.system": (Reduced(os.system, "touch MARK"), "it calls posix.system"),
    "eval": (Reduced(builtins.eval, "1"), "it calls builtins.eval"),
    "exec": (Reduced(builtins.exec, "1"), "it calls builtins.exec"),
    "popen": (Reduced(subprocess.Popen, ["touch", "MARK"]), "it calls subprocess.Popen"),
    "nested in lists": ([[{"a": Reduced(os.system, "touch MARK")}]], "it calls posix.system"),
    "in a tuple as key": ({("a", Reduced(os.system, "touch MARK")): 1}, "it calls posix.system"),
    "in an object array": (np.array([Reduced(os.system, "touch MARK")], dtype=object), "it calls posix.system"),
    "a call in a call": (Reduced(functools.partial(os.system), "touch MARK"), "it calls functools.partial"),
    "getattr chain": (Reduced(builtins.getattr, Reduced(__import__, "os"), "system"), "it calls builtins.getattr"),
    "attrgetter": (Reduced(operator.attrgetter("system"), 1), "it calls operator.attrgetter"),
    "dotted": (_raw(_global("numpy", "ndarray.__reduce__")), "it calls numpy.ndarray.__reduce__"),
    "dotted stand-in": (_raw(ARRAY.replace(b"\x0c_reconstruct", b"\x18_reconstruct.__globals__")), "it calls numpy"),
    "ordered dict": (OrderedDict(a=1), "it calls collections.OrderedDict"),
    "objects of our own": (DataConfig(root="x"), "the instruction NEWOBJ"),
    "old global": (b"cposix\nsystem\n(S'touch MARK'\ntR.", "it calls posix.system"),
    "old instance": (b"(S'touch MARK'\niposix\nsystem\n.", "the instruction INST"),
    "new object": (_raw(_global("numpy", "ndarray"), b")", b"\x81"), "the instruction NEWOBJ"),
    "extension": (_raw(b"\x82\x01"), "the instruction EXT1"),
    "persistent": (_raw(_text("x"), b"Q"), "the instruction BINPERSID"),
    "out of band": (b"\x80\x05\x97.", "the instruction NEXT_BUFFER"),
    "changed function": (_raw(ARRAY, b"}", _text("__code__"), b"N", b"s", b"b"), "it changes a function"),
    "class alone": (_raw(_global("numpy", "ndarray"), b")", b"R"), "in another way than NumPy"),
    "function alone": (_raw(ARRAY), "it holds StandIn, alone"),
    "far memo": (_raw(b"N", b"r" + struct.pack("<I", 2**31)), "numbers value 2147483648 before"),
    "protocol 6": (b"\x80\x06N.", "written in protocol 6"),
    "array of dictionaries": (np.array([{"a": 1}, {}], dtype=object), "dtype object"),
    "array of times": (np.array(["2020-01-01"], dtype="datetime64[D]"), "type"),
    "records": (np.zeros(2, dtype=[("a", "f4")]), "type"),
    "complex": (np.ones(2, dtype=complex), "of type c16"),
    "other encoding": (_raw(_global("_codecs", "encode"), _text("a"), _text("rot13"), b"\x86R"), "it encodes a text"),
    "not a pickle": (b"\xff\xfe", "no pickle of plain values"),
    "cut short": (pickle.dumps({"a": np.ones(100)})[:-40], "no pickle of plain values"),
    "empty": (b"", "no pickle of plain values"),
}  # fmt: skip


@pytest.mark.parametrize("name", EVIL)
def test_pickles_that_mean_no_good_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    value, words = EVIL[name]
    file = tmp_path / "evil.pkl"
    file.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value))
    result = CliRunner().invoke(app, ["convert", str(file), str(tmp_path / "out")])
    assert isinstance(result.exception, MerError), result.output
    assert words in result.exception.found and "\n" not in result.exception.found and result.exception.then
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pkl"], "nothing was run, nothing written"


def test_arrays_whose_size_is_a_lie_are_refused(tmp_path: Path) -> None:
    whole = pickle.dumps({"audio": np.ones((4, 3), dtype=np.float32)}, 4)
    lie = whole.replace(b"K\x04K\x03\x86", b"K\x7fK\x03\x86")
    assert lie != whole
    (tmp_path / "lie.pkl").write_bytes(lie)
    with pytest.raises(MerError, match="has 48 bytes"):
        read_plain(tmp_path / "lie.pkl")


def test_deep_and_endless_values_are_refused(tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(40):
        deep = [deep]
    with pytest.raises(MerError, match="levels deep"):
        read_plain(dumped(deep, tmp_path))
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(MerError, match="levels deep"):
        read_plain(dumped(circle, tmp_path))
    laughs: list[Any] = ["ha"]
    for _ in range(12):
        laughs = [laughs] * 50  # 50^12 texts, were they not the same list each time
    assert len(read_plain(dumped(laughs, tmp_path))) == 50


def test_a_pipe_and_a_folder_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pkl")
    for place in (tmp_path / "pipe.pkl", tmp_path, tmp_path / "absent.pkl"):
        with pytest.raises(MerError, match="cannot be read"):
            read_plain(place)


def test_what_is_read_has_left_nothing_behind(tmp_path: Path) -> None:
    """No instruction may reach an object of this process."""
    before = read_plain(dumped({"a": np.ones(2)}, tmp_path))
    for name in ("changed function", "class alone"):
        (tmp_path / "evil.pkl").write_bytes(EVIL[name][0])
        with pytest.raises(MerError):
            read_plain(tmp_path / "evil.pkl")
    again = read_plain(dumped({"a": np.ones(2)}, tmp_path))
    np.testing.assert_array_equal(before["a"], again["a"])
