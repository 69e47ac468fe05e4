"""A small study to break on purpose, and what its tests have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mer.errors import MerError
from mer.study.search.ledger import Assignment, Ledger
from mer.study.space.load import load_spec
from mer.study.space.spec import StudySpec
from mer.training import Row
from trainables.wire import Report

SPACES = Path(__file__).parents[2] / "search_spaces"

# Line numbers matter: tests pin them.
SMALL = """study: small
trainable: text
objective: {metric: dev_weighted_f1, mode: max}
budget: {trials: 4, epochs: 6}
sampler: {kind: random, seed: 0}
scheduler: {kind: none}
fixed:
  encoders: {text: {backbone: minilm}}
  loss: {contrastive: {kind: spcl}}
params:
  optim.head_lr: {float: [1e-4, 1e-2], log: true}
  head.hidden: {int: [8, 64]}
points:
  - {optim.head_lr: 1e-3, head.hidden: 32}
"""

LR = "{float: [1e-4, 1e-2], log: true}"
NO_POINT = ("points:\n  - {optim.head_lr: 1e-3, head.hidden: 32}\n", "")
KEYS = "python -m mer.tune --keys lists every key with its meaning"


def lr(body: str) -> tuple[tuple[str, str], ...]:
    """The small study with another `optim.head_lr` and without its point."""
    return ((LR, body), NO_POINT)


def write_space(folder: Path, *changes: tuple[str, str], text: str = SMALL) -> Path:
    """The small study with replacements; each must hit exactly once."""
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    path = folder / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def make_spec(folder: Path, *changes: tuple[str, str], overrides: tuple[str, ...] = (), **parts: Any) -> StudySpec:
    return load_spec(write_space(folder, *changes), overrides, parts)


def message(folder: Path, *changes: tuple[str, str], overrides: tuple[str, ...] = ()) -> str:
    """Load a broken space and return the message, with the file's path as FILE."""
    path = write_space(folder, *changes)
    with pytest.raises(MerError) as caught:
        load_spec(path, overrides)
    return str(caught.value).replace(str(path), "FILE")


def open_ledger(folder: Path, spec: StudySpec) -> Ledger:
    folder.mkdir(exist_ok=True)
    return Ledger(folder, spec)


def row(epoch: int, score: float, **others: float) -> Row:
    return {"epoch": epoch, "timestamp_ms": 1000.0 + epoch, "dev_weighted_f1": score, "dev_loss": 1 - score, **others}


def report(number: int, scores: list[float], outcome: Any = "running", first: int = 1, reason: str = "") -> Report:
    rows = [row(first + index, score) for index, score in enumerate(scores)]
    return Report(number, rows, outcome, reason)


def score_of(assignment: Assignment) -> float:
    """A made-up objective that depends on every parameter."""
    total = 0.0
    for key, value in sorted(assignment.params.items()):
        total += (sum(map(ord, f"{key}{value!r}")) % 97) / 97 + (value if isinstance(value, float) else 0.0)
    return total / 10
