"""A tiny protocol on a table of a few rows, to read, to break and to run."""

from __future__ import annotations

from pathlib import Path

from mer.study.bench.cells import Cell, make_cells, read_protocol

# Line numbers matter: tests pin them.
PROTOCOL = """protocol: tiny
search:
  trials: 2
  epochs: 3
  sampler: {kind: random, seed: 0}
rerank: {top: 2, seeds: [1]}
evaluate: {seeds: [0, 1]}
resources: {workers: 1}
common:
  fixed: {head: {hidden: 16}}
  params: {optim.head_lr: {float: [1e-3, 1e-2], log: true}}
  start: {optim.head_lr: 2e-3}
corpora:
  own:
    data: {dataset: csv, root: own}
features:
  text:
    trainable: text
    fixed: {encoders: {text: {backbone: minilm, mode: frozen}}}
methods:
  ce: {}
  supcon:
    fixed: {loss: {contrastive: {kind: supcon}}}
    params: {loss.contrastive.weight: {float: [0.1, 1.0]}}
"""
MOODS = {"calm": "all is well", "cross": "leave me alone", "glad": "what a day"}


def write_corpus(folder: Path) -> None:
    folder.mkdir(parents=True)
    for split, rows in (("train", 36), ("dev", 18), ("test", 18)):
        lines = ["text,label,dialogue"]
        for row in range(rows):
            label = list(MOODS)[row % 3]
            words = MOODS[list(MOODS)[(row + (row % 4 == 0)) % 3]]
            lines.append(f"{words} {split} {row % 7},{label},{split}{row // 3}")
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_protocol(folder: Path, *changes: tuple[str, str], name: str = "tiny.yaml") -> Path:
    """The tiny protocol with replacements; each must hit exactly once."""
    text = PROTOCOL
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def cells_of(path: Path, **options) -> list[Cell]:
    protocol, file = read_protocol(path, data={}, trials=None)
    return make_cells(protocol, file, protocol.combinations(), **options)
