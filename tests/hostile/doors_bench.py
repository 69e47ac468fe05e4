"""Doors of protocols and of cards of claimed numbers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hostile_door import Door, Input, file_input
from hostile_mutations import json_bytes, mutated_bytes, mutated_tree
from small_protocol import PROTOCOL
from yaml_inputs import PIECES

from mer.study.bench.cells import make_cells, read_protocol
from mer.study.bench.claim import SHIPPED_CARDS
from mer.study.bench.protocol import SHIPPED
from mer.study.bench.reproduce import read_card, verdict_of

SMALL = PROTOCOL.replace("root: own", "root: ., folds: {k: 3, by: row}")  # folds need no test split
CARD = """card: tiny
claim: {source: a paper, metric: weighted_f1, value: 60.0, sd: 0.5, runs: 5}
protocol: {dataset: csv, chosen_on: dev, encoders: {text: minilm}}
fixed:
  data: {dataset: csv, root: .}
  encoders: {text: {backbone: minilm}}
epochs: 3
seeds: [0, 1]
"""


def read_a_protocol(path: Path) -> None:
    """Read a protocol and make its cells: each must be a study with a name of its own."""
    protocol, file = read_protocol(path, data={}, trials=None)
    assert protocol.combinations()
    cells = make_cells(protocol, file, protocol.combinations()[:4])
    assert len({cell.spec.study for cell in cells}) == len(cells)
    assert all(len(cell.plan) == 64 and yaml.safe_load(cell.space)["study"] == cell.spec.study for cell in cells)


def read_a_card(path: Path) -> None:
    """Read a card and judge made-up seeds by it."""
    card, cell = read_card(path, None, None)
    assert (cell is None) == (card.export is not None)
    verdict = verdict_of(card, {0: 0.5, 1: 0.51}, [])
    assert verdict.finding in ("reproduced", "lower", "higher") and len(verdict.lines) == 5


def protocol_kinds(base: Path) -> Sequence[Input]:
    """Protocols that were thought of."""
    many = "".join(f"  m{n}: {{}}\n" for n in range(300))
    texts = {
        "many methods": SMALL.replace("  ce: {}\n", many),
        "many unknown keys": SMALL + "".join(f"key{n}: {n}\n" for n in range(20_000)),
        "a name that is a path": SMALL.replace("protocol: tiny", "protocol: ../../x"),
        "a method that is a path": SMALL.replace("  ce: {}", "  ../x: {}"),
        "long name": SMALL.replace("protocol: tiny", f"protocol: {'x' * 25}"),
        "no methods": SMALL[: SMALL.index("methods:")] + "methods: {}\n",
        "a method of nothing": SMALL.replace("  ce: {}", "  ce: null"),
        "a searched seed": SMALL.replace("optim.head_lr: {float: [1e-3, 1e-2], log: true}", "seed: {int: [0, 9]}"),
        "test as objective": SMALL.replace("  epochs: 3", "  epochs: 3\n  objective: {metric: test_weighted_f1}"),
    }
    found = [file_input(kind, "p.yaml", text, "refused") for kind, text in texts.items()]
    fixed = "fixed: {head: {hidden: 16}}"
    many_fixed = "fixed: {" + ", ".join(f"k{n}: {n}" for n in range(20_000)) + "}"
    found.append(file_input("many fixed keys", "p.yaml", SMALL.replace(fixed, many_fixed), "refused"))
    found.append(file_input("as it should be", "p.yaml", SMALL, "accepted"))
    for place in ("[0, 1]", "[1]", "tiny", "{head: {hidden: 16}}", "2e-3", "[0.1, 1.0]"):
        found += [
            file_input(f"for {place}: {piece[:30]}", "p.yaml", SMALL.replace(place, piece, 1)) for piece in PIECES[::3]
        ]
    found.append(Input("a folder", lambda folder: folder, "refused"))
    return found


def protocol_mutants(base: Path, rng: random.Random) -> Iterator[Input]:
    """Mutations of the small protocol and of the shipped ones, whose corpora are not there."""
    contents = [SMALL.encode(), *(path.read_bytes() for path in sorted(SHIPPED.glob("*.yaml")))]
    yield from _mutants(contents, "p.yaml", rng)


def card_kinds(base: Path) -> Sequence[Input]:
    """Cards that were thought of."""
    found = [file_input("as it should be", "c.yaml", CARD, "accepted")]
    for place in ("60.0", "0.5", "runs: 5", "[0, 1]", "a paper", "tiny", "{text: minilm}", "dev"):
        found += [
            file_input(f"for {place}: {piece[:30]}", "c.yaml", CARD.replace(place, piece, 1)) for piece in PIECES[::3]
        ]
    nothing = CARD[: CARD.index("fixed:")]
    found.append(file_input("nothing to run", "c.yaml", nothing, "refused"))
    found.append(file_input("a space that is a device", "c.yaml", f"{nothing}space: /dev/zero\n", "refused"))
    found.append(file_input("a space that is no file", "c.yaml", f"{nothing}space: ../nowhere.yaml\n", "refused"))
    return found


def card_mutants(base: Path, rng: random.Random) -> Iterator[Input]:
    """Mutations of the small card and of the shipped ones."""
    contents = [CARD.encode(), *(path.read_bytes() for path in sorted(SHIPPED_CARDS.glob("*.yaml")))]
    yield from _mutants(contents, "c.yaml", rng)


def _mutants(contents: Sequence[bytes], name: str, rng: random.Random) -> Iterator[Input]:
    trees: list[Any] = [yaml.safe_load(content) for content in contents]
    while True:
        what, content = mutated_bytes(rng.choice(contents), rng)
        yield file_input(f"bytes: {what}", name, content)
        what, changed = mutated_tree(rng.choice(trees), rng)
        yield file_input(f"tree: {what}", name, json_bytes(changed))


DOORS = [
    Door("protocol", read_a_protocol, protocol_kinds, protocol_mutants),
    Door("card", read_a_card, card_kinds, card_mutants),
]
