"""Tensors files to publish, made without torch (processes are forked here), and a look at what became of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from mer.checkpoints.header import sidecar


def tensors_of(seed: int, kilobytes: int = 8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "model.head.weight": rng.standard_normal((kilobytes, 256)).astype(np.float32),
        "dev_logits": rng.standard_normal((5, 7)).astype(np.float32),
    }


def write_file(path: Path, seed: int, card: dict | None = None, kilobytes: int = 8) -> Path:
    """A finished file as a worker leaves it: renamed into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid():08x}.tmp")
    metadata = {"card": json.dumps(card)} if card is not None else {"format": "pt"}
    temporary.write_bytes(save(tensors_of(seed, kilobytes), metadata))
    temporary.replace(path)
    return path


def assert_holds(path: Path, seed: int, card: dict | None = None, kilobytes: int = 8) -> None:
    """Plain safetensors reads it, and it is what was written."""
    found = load_file(path)
    expected = tensors_of(seed, kilobytes)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected), path
    if card is not None:
        assert json.loads(sidecar(path).read_text())["card"] == card


def trial(studies: Path, number: int, study: str = "s") -> Path:
    return studies / study / "trials" / f"{number:05d}" / "best.safetensors"


def make_old(*paths: Path, seconds: float = 10_000) -> None:
    for path in paths:
        when = path.lstat().st_mtime - seconds
        os.utime(path, (when, when), follow_symlinks=False)
