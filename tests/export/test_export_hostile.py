"""Exports that were edited and signed again: whatever the hashes say, their parts must be those of one model."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import mer
from mer.errors import MerError
from mer.files import sha256_file
from mer.tensor_header import read_header

WRITTEN = Path(__file__).resolve().parents[1] / "written_before"
MODEL = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small export, to be edited."""
    return Path(shutil.copytree(WRITTEN / "exported" / "before", tmp_path / "model"))


def sign(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != "MANIFEST.json")
    hashes = {name: sha256_file(folder / name) for name in names}
    (folder / "MANIFEST.json").write_text(json.dumps({"format": 1, "sha256": hashes}))


def edit(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    tree = json.loads((folder / name).read_text())
    change(tree)
    (folder / name).write_text(json.dumps(tree))
    sign(folder)


def refusal(folder: Path) -> str:
    with pytest.raises(MerError) as caught:
        mer.load(folder, backbone=WRITTEN / "backbone")
    return caught.value.message


def test_it_opens(folder):
    sign(folder)
    assert mer.load(folder, backbone=WRITTEN / "backbone").predict(["Oh my God!"])[0].label


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("labels.json", lambda t: t.pop("class_names"), "class_names is missing"),
        ("labels.json", lambda t: t.update(class_names="abcdefg"), "class_names is 'abcdefg'\n  allowed: a list"),
        ("labels.json", lambda t: t["class_names"].reverse(), "class_names are surprise, disgust,"),
        ("labels.json", lambda t: t["class_names"].__setitem__(0, "joy"), "two of them have one name"),
        ("labels.json", lambda t: t.update(task="sentiment"), "task is sentiment\n  allowed: emotion"),
        ("preprocessor.json", lambda t: t.update(input=None), "input is null"),
        ("preprocessor.json", lambda t: t.update(layers=[1, 99]), "layers must be hidden states, 0 to 2"),
        ("preprocessor.json", lambda t: t.update(modality="audio"), "of a model that reads audio"),
        ("preprocessor.json", lambda t: t["backbone"].pop("weights_sha256"), "backbone.weights_sha256 is missing"),
        ("preprocessor.json", lambda t: t.update(width=1_000_000), "weights do not fit config.json"),
        ("provenance.json", lambda t: t.update(features=[1]), "features is a list\n  allowed: an object"),
        ("config.json", lambda t: t["head"].update(hidden=4096), "blocks.0.bias is 32, and should be 4096"),
        ("config.json", lambda t: t["head"].update(depth=90), "head.depth is 90, and there are 7 weights"),
    ],
)  # fmt: skip
def test_parts_of_the_wrong_kind(folder, name, change, words):
    edit(folder, name, change)
    said = refusal(folder)
    assert words in said and "\n  next: " in said


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_are_finite(folder, value):
    weights = load_file(folder / MODEL)
    weights["model.classifier.bias"][3] = value
    save_file(weights, folder / MODEL, metadata=read_header(folder / MODEL).metadata)
    sign(folder)
    assert "model.classifier.bias has NaN or infinity" in refusal(folder)


def test_weights_of_other_classes_or_another_shape(folder):
    weights, metadata = load_file(folder / MODEL), read_header(folder / MODEL).metadata
    card = json.loads(metadata["card"])
    save_file(weights, folder / MODEL, metadata={"card": json.dumps({**card, "class_names": ["a", "b"]})})
    sign(folder)
    assert "allowed: those of the weights: a, b" in refusal(folder)
    turned = {**weights, "model.classifier.weight": weights["model.classifier.weight"].T.contiguous()}
    save_file(turned, folder / MODEL, metadata=metadata)
    sign(folder)
    assert "classifier.weight is 32 x 7, and should be 7 x 32" in refusal(folder)
    whole = {**weights, "model.classifier.bias": torch.zeros(7, dtype=torch.int32)}
    save_file(whole, folder / MODEL, metadata=metadata)
    sign(folder)
    assert "classifier.bias is of type torch.int32" in refusal(folder)


@pytest.mark.timeout(20)
def test_links_out_pipes_and_files_without_end(folder, tmp_path):
    outside = shutil.copy(folder / "labels.json", tmp_path)
    (folder / "labels.json").unlink()
    (folder / "labels.json").symlink_to(outside)
    said = refusal(folder)
    assert "labels.json: a link that leads out of the export" in said
    words = shlex.split(said.rpartition("links: ")[2])
    assert words[:2] == ["cp", "-rL"]
    subprocess.run(words, check=True)
    assert mer.load(words[-1], backbone=WRITTEN / "backbone"), "as typed: a copy without links is an export"
    (folder / "labels.json").unlink()
    os.mkfifo(folder / "labels.json")
    with pytest.raises(OSError, match="not a file but a pipe"):
        mer.load(folder, backbone=WRITTEN / "backbone")
    shutil.copy(folder / "config.json", folder / "config")
    (folder / "labels.json").unlink()
    with (folder / "labels.json").open("wb") as file:
        file.truncate(2**40)
    assert "has 1099511627776 bytes" in refusal(folder)


def test_an_export_is_not_its_own_encoder(folder):
    edit(folder, "config.json", lambda tree: tree["encoders"].update(text={"backbone": str(folder)}))
    assert "it stands in the place of an encoder of itself" in refusal(folder)
