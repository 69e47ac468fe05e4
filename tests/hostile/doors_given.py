"""Features that somebody else extracted, and the pickles that they send: `encoders.audio.backbone: file:PATH`."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hostile_door import Door, Input, file_input
from hostile_folders import not_files
from hostile_mutations import mutated_bytes
from safetensors.numpy import save as save_tensors

from mer.config import AudioEncoderConfig, DataConfig
from mer.data.inputs import from_names
from mer.data.registry import open_corpus
from mer.features.from_files.live import LiveGiven
from mer.features.from_files.pooled import GivenReading
from mer.features.given.mmsa import convert

IDS = [f"u{row}" for row in range(6)]
WIDTH = 4


def read_features(path: Path) -> None:
    """Read what is handed in as the features of six utterances."""
    with tempfile.TemporaryDirectory() as place:
        rows = [f"{name},Line.,{('joy', 'anger')[row % 2]}" for row, name in enumerate(IDS)]
        Path(place, "train.csv").write_text("\n".join(["id,text,label", *rows]) + "\n", encoding="utf-8")
        Path(place, "dev.csv").write_text("id,text,label\nother,Line.,joy\n", encoding="utf-8")
        data = DataConfig(dataset="csv", root=place)
        reading = GivenReading(AudioEncoderConfig(backbone=f"file:{path}"), Path(place))
        prepared = reading.prepare(open_corpus(data, ("train",)), data, "train", Path(place))
        done = reading.extract(prepared, parts=Path(place), step=lambda *_: None)
        assert done.features_NLD.shape[:2] == (6, 1) and np.isfinite(done.features_NLD).all()
        assert done.present_N is not None and done.present_N.any() and set(done.faults) <= set(prepared.ids)


def read_new_features(path: Path) -> None:
    """Read what is handed in as new features for a model of features that others extracted."""
    width = 2 if path.suffix == ".csv" else WIDTH
    live = LiveGiven(AudioEncoderConfig(backbone="file:theirs"), width, Path("export"), path)
    done = live.encode(from_names([("", name) for name in IDS], speaker="").dialogues)
    assert done.features_NLD.shape == (6, 1, width) and np.isfinite(done.features_NLD).all()
    assert done.present_N is not None and done.present_N.any()
    assert all(bool(fault) != there for fault, there in zip(done.faults_N, done.present_N, strict=True))


def read_pickle(path: Path) -> None:
    mark = path.parent / "mark"
    out = path.parent / "out"
    try:
        convert(path, out)
        assert (out / "features.safetensors").is_file()
    except Exception:
        assert not out.exists(), "half-written"
        raise
    finally:
        assert not mark.exists(), "something was run"


def _npy(array: np.ndarray) -> bytes:
    np.save(stream := io.BytesIO(), array, allow_pickle=True)
    return stream.getvalue()


def _npz(**arrays: Any) -> bytes:
    np.savez(stream := io.BytesIO(), **arrays)
    return stream.getvalue()


def _header(text: str, content: bytes = b"") -> bytes:
    """A .npy file with a header of one's own."""
    padded = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + content


def _zip(name: str, content: bytes) -> bytes:
    with zipfile.ZipFile(stream := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


GOOD = _npz(ids=np.array(IDS), audio=np.arange(24, dtype=np.float32).reshape(6, WIDTH) + 1)
TENSORS = save_tensors({"audio": np.ones((6, 3, WIDTH), dtype=np.float32)}, metadata={"ids": json.dumps(IDS)})
CSV = "id,f0,f1\n" + "".join(f"{name},{row},1.5\n" for row, name in enumerate(IDS))


class Run:
    """Pickles as a call."""

    def __reduce__(self) -> Any:
        return os.system, ("touch mark",)


def kinds_of_features(base: Path) -> list[Input]:
    numbers = np.ones((6, WIDTH), dtype=np.float32)
    ruin: dict[str, bytes] = {
        "nothing": b"",
        "ids alone": _npz(ids=np.array(IDS)),
        "other rows": _npz(ids=np.array(IDS), audio=numbers[:4]),
        "objects": _npz(ids=np.array(IDS), audio=np.array([Run()] * 6, dtype=object)),
        "ids that are objects": _npz(ids=np.array([Run()] * 6, dtype=object), audio=numbers),
        "NaN": _npz(ids=np.array(IDS), audio=numbers * np.nan),
        "infinite": _npz(ids=np.array(IDS), audio=numbers * np.inf),
        "zeros": _npz(ids=np.array(IDS), audio=numbers * 0),
        "one id for all": _npz(ids=np.array(["u0"] * 6), audio=numbers),
        "no width": _npz(ids=np.array(IDS), audio=numbers[:, :0]),
        "a cube of frames": _npz(ids=np.array(IDS), audio=np.ones((6, 2, 2, WIDTH))),
        "a shape of 10**12": _zip("audio.npy", _header("{'descr': '<f4', 'fortran_order': False, 'shape': (10**12,)}")),
        "a shape of 2**62": _zip(
            "u0.npy", _header("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }")
        ),
        "a negative shape": _zip("u0.npy", _header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -4), }")),
        "a header that calls": _zip("u0.npy", _header("__import__('os').system('touch mark')")),
        "a header of 60 000 brackets": _zip("u0.npy", _header("(" * 30_000 + ")" * 30_000)),
        "a type of 2**40 bytes": _zip(
            "u0.npy", _header("{'descr': '<U1099511627776', 'fortran_order': False, 'shape': (1,), }")
        ),
        "100 MB of zeros": _zip("u0.npy", _npy(np.zeros((1, 25_000_000), dtype=np.float32))),
        "no npy inside": _zip("u0.npy", b"hello"),
        "names with ways out": _npz(**{"../../u0": numbers[0], "/etc/passwd": numbers[0]}),
        "escapes in ids": _npz(ids=np.array([f"{name}\x1b[2J" for name in IDS]), audio=numbers),
        "cut": GOOD[:-40],
    }
    must: dict[str, Any] = dict.fromkeys(ruin, "refused")
    must |= {"100 MB of zeros": ""}
    found = [
        file_input("good", "f.npz", GOOD, "accepted"),
        file_input("good tensors", "f.safetensors", TENSORS, "accepted"),
    ]
    found += [file_input("good csv", "f.csv", CSV, "accepted")]
    found += [file_input(kind, "f.npz", content, must[kind]) for kind, content in ruin.items()]
    tables = {
        "csv: a word": CSV.replace("1.5", "much", 1), "csv: ragged": CSV + "u9\n",
        "csv: NUL": CSV.replace("1.5", "\x00", 1), "csv: a number of 5 000 digits": CSV.replace("1.5", "9" * 5000, 1),
        "csv: an open quote": CSV.replace("u3", '"u3'), "csv: a header of 10 MB": "x" * 10_000_000,
        "csv: 100 000 columns": "id," + ",".join(f"f{at}" for at in range(100_000)) + "\nu0" + ",1" * 100_000 + "\n",
        "csv: not UTF-8": CSV.encode() + b"\xff\xff,1,2\n",
    }  # fmt: skip
    found += [file_input(kind, "f.csv", content) for kind, content in tables.items()]
    return [*found, *not_files(base, "f.npz", GOOD.decode("latin1"))]


def mutants_of_features(base: Path, rng: random.Random) -> Iterator[Input]:
    goods = {"f.npz": GOOD, "f.safetensors": TENSORS, "f.csv": CSV.encode()}
    while True:
        name = rng.choice(sorted(goods))
        what, content = mutated_bytes(goods[name], rng)
        yield file_input(f"{name}: {what}", name, content)


def _mmsa() -> dict[str, Any]:
    numbers = np.arange(24, dtype=np.float32).reshape(6, 1, WIDTH)
    part = {"id": IDS, "raw_text": ["a"] * 6, "audio": numbers, "regression_labels": np.ones(6, dtype=np.float32)}
    return {"train": part, "valid": dict(part), "test": dict(part)}


PICKLES = [pickle.dumps(_mmsa(), protocol) for protocol in range(6)]


def kinds_of_pickles(base: Path) -> list[Input]:
    ruin: dict[str, bytes] = {
        "os.system": pickle.dumps(Run()),
        "os.system within": pickle.dumps({"train": {"id": [Run()]}}),
        "os.system, protocol 0": pickle.dumps(Run(), 0),
        "nothing": b"",
        "a number of 10**6 digits": b"I" + b"9" * 1_000_000 + b"\n.",
        "bytes of 2**40": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b".",
        "bytes of 2**63": b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b".",
        "a frame of 2**60": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
        "a memo far away": b"\x80\x04Nr" + struct.pack("<I", 2**32 - 1) + b".",
        "a long of 2**31 bytes": b"\x80\x04\x8b" + struct.pack("<i", 2**31 - 1) + b".",
        "marks without end": b"\x80\x04" + b"(" * 1_000_000 + b".",
        "tuples within tuples": b"\x80\x04)" + b"\x85" * 200_000 + b".",
        "reduce of nothing": b"\x80\x04R.",
        "build of nothing": b"\x80\x04b.",
    }
    found = [file_input(f"good, protocol {at}", "f.pkl", good, "accepted") for at, good in enumerate(PICKLES)]
    found += [file_input(kind, "f.pkl", content, "refused") for kind, content in ruin.items()]
    return [*found, *not_files(base, "f.pkl", PICKLES[0].decode("latin1"))]


def mutants_of_pickles(base: Path, rng: random.Random) -> Iterator[Input]:
    while True:
        what, content = mutated_bytes(rng.choice(PICKLES), rng)
        for _ in range(rng.randrange(3)):
            what, content = mutated_bytes(content, rng)
        yield file_input(f"bytes: {what}", "f.pkl", content)


DOORS = [
    Door("features of others", read_features, kinds_of_features, mutants_of_features),
    Door("new features for an export", read_new_features, kinds_of_features, mutants_of_features),
    Door("a pickle of features", read_pickle, kinds_of_pickles, mutants_of_pickles),
]
