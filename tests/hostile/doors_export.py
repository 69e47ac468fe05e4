"""Exports that somebody else sends: edited and signed again, mixed of two, or full of things that are no files."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from hostile_door import HERE, Door, Input
from hostile_folders import (
    changed_folder,
    header_of,
    irregular,
    mutants_of,
    setting,
    tensors_bytes,
    with_bytes,
    with_json,
    without,
)
from hostile_mutations import deep

import mer
from mer.files import sha256_file
from mer.predictor.predictor import Predictor

WRITTEN = HERE.parent / "written_before"
EXPORT, BACKBONE = WRITTEN / "exported" / "before", WRITTEN / "backbone"
NAMES = tuple(json.loads((EXPORT / "labels.json").read_text())["class_names"])
JSON = ("config.json", "labels.json", "preprocessor.json", "provenance.json")
MODEL = "model.safetensors"
_TEXTS = ["Oh my God!", "No."]


def read(folder: Path) -> None:
    model: Predictor = mer.load(folder, backbone=BACKBONE)
    assert model.class_names == NAMES, f"{model.class_names} are not the classes that it was trained on"
    for one in model.predict(_TEXTS):
        chances = list(one.probabilities.values())
        assert all(map(math.isfinite, chances)) and abs(sum(chances) - 1) < 1e-6, f"chances {chances}"
        assert one.label in NAMES


def sign(folder: Path) -> None:
    """Write a manifest that fits what is there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "MANIFEST.json")
    hashes = {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}
    (folder / "MANIFEST.json").write_text(json.dumps({"format": 1, "sha256": hashes}))


def kinds(base: Path) -> list[Input]:
    outside = base / "outside.json"
    outside.write_bytes((EXPORT / "labels.json").read_bytes())
    return [
        changed_folder("untouched", EXPORT, lambda folder: None, "accepted"),
        changed_folder("untouched, signed anew", EXPORT, lambda folder: None, "accepted", after=sign),
        changed_folder("a file of another program", EXPORT, with_bytes(".DS_Store", b"x"), "accepted"),
        *_edited(),
        *_weights(),
        *_manifests(outside),
        *_not_files(),
        _within_itself(),
    ]


def _edited() -> list[Input]:
    edits: list[tuple[str, str, Callable[[Any], Any]]] = [
        ("labels.json", "without class_names", without("class_names")),
        ("labels.json", "class_names is text", setting("class_names", value="abcdefg")),
        ("labels.json", "class_names is an object", setting("class_names", value={"a": 1})),
        ("labels.json", "class_names reversed", setting("class_names", value=list(reversed(NAMES)))),
        ("labels.json", "one name twice", setting("class_names", 0, value=NAMES[1])),
        ("labels.json", "an empty name", setting("class_names", 0, value="")),
        ("labels.json", "a name is a number", setting("class_names", 0, value=5)),
        ("labels.json", "a name less", without("class_names", 0)),
        ("labels.json", "no names", setting("class_names", value=[])),
        ("labels.json", "a million names", setting("class_names", value=[f"n{i}" for i in range(1_000_000)])),
        ("labels.json", "half of a character", setting("class_names", 0, value="\ud800")),
        ("labels.json", "another task", setting("task", value="sentiment")),
        ("labels.json", "task null", setting("task", value=None)),
        ("labels.json", "threshold with seven classes", setting("threshold", value=0.5)),
        ("labels.json", "threshold is text", setting("threshold", value="0.5")),
        ("labels.json", "threshold NaN", setting("threshold", value=float("nan"))),
        ("preprocessor.json", "backbone null", setting("backbone", value=None)),
        ("preprocessor.json", "hashes null", setting("backbone", "weights_sha256", value=None)),
        ("preprocessor.json", "without a hash", without("backbone", "weights_sha256")),
        ("preprocessor.json", "without the tokenizer's hash", without("backbone", "tokenizer_sha256")),
        ("preprocessor.json", "input null", setting("input", value=None)),
        ("preprocessor.json", "another normalisation", setting("input", "normalisation_version", value=99)),
        ("preprocessor.json", "layers null", setting("layers", value=None)),
        ("preprocessor.json", "layers outside", setting("layers", value=[1, 99])),
        ("preprocessor.json", "layers negative", setting("layers", value=[-1])),
        ("preprocessor.json", "layers text", setting("layers", value=["1"])),
        ("preprocessor.json", "more layers than the weights", setting("layers", value=[0, 1, 2])),
        ("preprocessor.json", "width 10**9", setting("width", value=10**9)),
        ("preprocessor.json", "width 1 000 000", setting("width", value=1_000_000)),
        ("preprocessor.json", "width is a fraction", setting("width", value=32.0)),
        ("preprocessor.json", "width true", setting("width", value=True)),
        ("preprocessor.json", "hidden states 10**9", setting("hidden_states", value=10**9)),
        ("preprocessor.json", "of sound", setting("modality", value="audio")),
        ("preprocessor.json", "several modalities", lambda tree: {"modalities": {"text": tree, "audio": tree}}),
        ("preprocessor.json", "modalities is a list", setting("modalities", value=[])),
        ("preprocessor.json", "no modality", setting("modalities", value={})),
        ("preprocessor.json", "bundled and not there", setting("bundled", value="yes")),
        ("provenance.json", "format true", setting("format", value=True)),
        ("provenance.json", "format 99", setting("format", value=99)),
        ("provenance.json", "features is a list", setting("features", value=[1])),
        ("provenance.json", "threshold is a list", setting("threshold", value=[1])),
        ("config.json", "hidden 10**6", setting("head", "hidden", value=10**6)),
        ("config.json", "hidden 10**15", setting("head", "hidden", value=10**15)),
        ("config.json", "hidden 10**400", setting("head", "hidden", value=10**400)),
        ("config.json", "depth 10**9", setting("head", "depth", value=10**9)),
        ("config.json", "depth 2", setting("head", "depth", value=2)),
        ("config.json", "no encoders", setting("encoders", value={})),
        ("config.json", "an encoder of sound", setting("encoders", value={"audio": {"backbone": "melstats"}})),
        ("config.json", "an unknown key", setting("surprise", value=1)),
        ("config.json", "another prediction", setting("training", "prediction", value="nearest_anchor")),
        ("config.json", "a tuned encoder", setting("encoders", "text", "mode", value="lora")),
        ("config.json", "seed NaN", setting("seed", value=float("nan"))),
        ("config.json", "another task", setting("data", "label", value="sentiment")),
    ]
    found = [changed_folder(f"{n}: {k}", EXPORT, with_json(n, e), "refused", after=sign) for n, k, e in edits]
    for name in JSON:
        for kind, content in (
            ("nothing", b""), ("a list", b"[]"), ("a number", b"5"), ("nested 100 000 deep", b"[" * 100_000),
            ("nested 900 deep", b'{"a":' * 900 + b"1" + b"}" * 900), ("not UTF-8", b"\xff\xfe{}"), ("NUL", b"{}\x00"),
            ("a number of 5 000 digits", b'{"a": ' + b"1" * 5000 + b"}"),
        ):  # fmt: skip
            found.append(changed_folder(f"{name}: {kind}", EXPORT, with_bytes(name, content), "refused", after=sign))
        again = (EXPORT / name).read_bytes().replace(b"{", b'{"format": 1, "format": 1, ', 1)
        found.append(changed_folder(f"{name}: a key twice", EXPORT, with_bytes(name, again), "refused", after=sign))
        large = b'{"a": "' + b"x" * 40_000_000 + b'"}'
        found.append(changed_folder(f"{name}: 40 MB", EXPORT, with_bytes(name, large), "refused", after=sign))
        deeper = setting("extra", value=deep(500))
        found.append(changed_folder(f"{name}: depth", EXPORT, with_json(name, deeper), "refused", after=sign))
    return found


def _weights() -> list[Input]:
    header, tensors = header_of((EXPORT / MODEL).read_bytes())
    card = json.loads(header["__metadata__"]["card"])

    def file(kind: str, edit: Callable[[Any], Any], content: bytes = tensors, must: Any = "refused") -> Input:
        def made() -> bytes:
            tree = json.loads(json.dumps(header))
            other = edit(tree)
            return tensors_bytes(tree if other is None else other, content)

        return changed_folder(f"weights: {kind}", EXPORT, with_bytes(MODEL, made), must, after=sign)

    def number(value: float) -> bytes:
        start = header["model.classifier.bias"]["data_offsets"][0]
        return tensors[:start] + np.float32(value).tobytes() + tensors[start + 4 :]

    def card_of(value: Any) -> Callable[[Any], None]:
        return setting("__metadata__", "card", value=value if isinstance(value, str) else json.dumps(value))

    bias = header["model.classifier.bias"]
    return [
        file("NaN", lambda tree: None, number(float("nan"))),
        file("infinity", lambda tree: None, number(float("inf"))),
        file("huge", lambda tree: None, number(3e38), ""),
        file("of whole numbers", setting("model.classifier.bias", value={**bias, "dtype": "I32"})),
        file("of an unknown type", setting("model.classifier.bias", value={**bias, "dtype": "F8_E4M3"})),
        file("turned round", setting("model.classifier.weight", "shape", value=[32, 7])),
        file("a shape of 2**62", setting("model.classifier.weight", "shape", value=[2**62])),
        file("a negative shape", setting("model.classifier.weight", "shape", value=[-7, -32])),
        file("another name", lambda tree: tree.update({"model.other": tree.pop("model.classifier.bias")})),
        file("offsets that overlap", setting("model.classifier.bias", "data_offsets", value=[0, 28])),
        file("offsets outside", setting("model.classifier.bias", "data_offsets", value=[0, 2**60])),
        file("offsets are text", setting("model.classifier.bias", "data_offsets", value="ab")),
        file("a part outside", setting("__metadata__", "parts", value='["../../outside"]')),
        file("a part that is not there", setting("__metadata__", "parts", value='["part"]')),
        file("parts are numbers", setting("__metadata__", "parts", value="5")),
        file("no card", without("__metadata__", "card")),
        file("no metadata", without("__metadata__")),
        file("a card that is a list", card_of([])),
        file("a card that is no JSON", card_of("{")),
        file("a card nested deep", card_of("[" * 100_000)),
        file("a card of other classes", card_of({**card, "class_names": list(reversed(NAMES))})),
        file("a card without classes", card_of({"format": 1})),
        file("longer than its header says", lambda tree: None, tensors + b"x"),
        file("shorter than its header says", lambda tree: None, tensors[:-4]),
        file("200 000 tensors of nothing", lambda tree: tree.update(_nothings(len(tensors)))),
        changed_folder("weights: a header of 2**63", EXPORT, with_bytes(MODEL, b"\xff" * 8), "refused", after=sign),
        changed_folder("weights: nothing", EXPORT, with_bytes(MODEL, b""), "refused", after=sign),
        changed_folder("weights: a pickle", EXPORT, with_bytes(MODEL, b"\x80\x04K\x05."), "refused", after=sign),
        changed_folder("weights: 1 TB of nothing", EXPORT, _sparse, "refused"),
    ]


def _nothings(end: int) -> dict[str, Any]:
    return {f"n{i}": {"dtype": "F32", "shape": [0], "data_offsets": [end, end]} for i in range(200_000)}


def _sparse(folder: Path) -> None:
    (folder / MODEL).unlink()
    with (folder / MODEL).open("wb") as file:
        file.truncate(2**40)


def _manifests(outside: Path) -> list[Input]:
    name = "MANIFEST.json"
    hashes = json.loads((EXPORT / name).read_text())["sha256"]

    def manifest(kind: str, value: Any, change: Callable[[Path], Any] | None = None) -> Input:
        def edit(folder: Path) -> None:
            if change is not None:
                change(folder)
            with_bytes(name, value if isinstance(value, bytes) else json.dumps(value).encode())(folder)

        return changed_folder(f"manifest: {kind}", EXPORT, edit, "refused")

    def link_out(folder: Path) -> None:
        (folder / "labels.json").unlink()
        (folder / "labels.json").symlink_to(outside)

    def folder_out(folder: Path) -> None:
        (folder / "backbone").symlink_to(outside.parent)

    only = {"labels.json": hashes["labels.json"]}
    return [
        manifest("names labels.json only", {"sha256": only}),
        manifest("names labels.json only, config.json edited", {"sha256": only}, with_bytes("config.json", b"{}")),
        manifest("names nothing", {"sha256": {}}),
        manifest("a file is not named", {"sha256": {k: v for k, v in hashes.items() if k != "README.md"}}),
        manifest("a file above", {"sha256": {**hashes, "../outside.json": "0" * 64}}),
        manifest("a file above, in the middle", {"sha256": {**hashes, "backbone/../../x": "0" * 64}}),
        manifest("an absolute path", {"sha256": {**hashes, "/etc/passwd": "0" * 64}}),
        manifest("a path with a point", {"sha256": {**hashes, "./labels.json": hashes["labels.json"]}}),
        manifest("a path of Windows", {"sha256": {**hashes, "..\\x": "0" * 64}}),
        manifest("an empty name", {"sha256": {**hashes, "": "0" * 64}}),
        manifest("a name with NUL", {"sha256": {**hashes, "a\x00b": "0" * 64}}),
        manifest("a name of 5 000 characters", {"sha256": {**hashes, "a" * 5000: "0" * 64}}),
        manifest("a folder is named", {"sha256": {**hashes, "inside": "0" * 64}}, lambda f: (f / "inside").mkdir()),
        manifest("hashes are numbers", {"sha256": dict.fromkeys(hashes, 5)}),
        manifest("hashes are a list", {"sha256": list(hashes)}),
        manifest("a list", []),
        manifest("nothing", b""),
        manifest("nested deep", b'{"sha256":' * 50_000),
        changed_folder("a file was added", EXPORT, with_bytes("extra.py", b"print()"), "refused"),
        changed_folder("a file was added below", EXPORT, with_bytes("backbone/tokenizer.json", b"{}"), "refused"),
        changed_folder("a link leads out", EXPORT, link_out, "refused", after=sign),
        changed_folder("a folder is a link that leads out", EXPORT, folder_out, "refused", after=sign),
    ]


def _not_files() -> list[Input]:
    found = []
    for name in (*JSON, MODEL, "MANIFEST.json", "README.md"):
        for kind, change in irregular(name).items():
            found.append(changed_folder(f"{name} is {kind}", EXPORT, change, "refused"))
    return found


def _within_itself() -> Input:
    """An export whose encoder is that export."""

    def write(folder: Path) -> Path:
        copy = folder / "model"
        shutil.copytree(EXPORT, copy)
        with_json("config.json", setting("encoders", "text", value={"backbone": str(copy)}))(copy)
        with_json("preprocessor.json", setting("backbone", "weights_sha256", value=sha256_file(copy / MODEL)))(copy)
        sign(copy)
        return copy

    return Input("its own encoder", write, "refused")


def mutants(base: Path, rng: random.Random) -> Iterator[Input]:
    signed = mutants_of(EXPORT, (*JSON, *JSON, MODEL), rng, after=sign)
    unsigned = mutants_of(EXPORT, ("MANIFEST.json", *JSON), rng)
    while True:
        yield next(signed if rng.random() < 0.8 else unsigned)


DOORS: Sequence[Door] = [Door("export", read, kinds, mutants)]
