"""Pages of studies and evaluations whose files are garbage: text stays text, one message or a page that names it."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hostile_door import Door, Input
from hostile_mutations import VALUES, deep, json_bytes, mutated_bytes, mutated_tree
from small_evaluation import make_evaluation
from small_study import Ending, make_study

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_NASTY = ["<script>alert(1)</script>", "\x1b[2J", '"><img src=x>', "=1+1", "\u202e", "x" * 20_000]
_OF_TRIAL = ["history.csv", "dev_predictions.csv", "config.json", "environment.json"]


def read_study(folder: Path) -> None:
    """Write the page of a study."""
    from analysis.report import write_report
    from analysis.stores.journal import load_study

    write_report(load_study(folder, with_mlflow=False), folder / "page.html")
    _look(folder)


def read_evaluation(folder: Path) -> None:
    """Write the page of an evaluation, and its tables as Markdown."""
    from analysis.report import write_evaluation_report
    from analysis.seeds import seed_report
    from analysis.stores.evaluation import load_evaluation

    found = load_evaluation(folder / "results.json")
    write_evaluation_report(found, folder / "page.html")
    assert not _CONTROL.search(seed_report([found])), "a control character in the tables"
    _look(folder)


def _look(folder: Path) -> None:
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert page.count("<script>") == 1 and "<img" not in page, "text from data became markup"
    assert not _CONTROL.search(page), "a control character on the page"
    wrong = re.search(r'(?:x|y|cx|cy|d|width|height)="[^"]*\b(?:nan|inf)\b[^"]*"', page)
    assert not wrong, f"a place that is no number: {wrong[0]}"


def _study(base: Path) -> Path:
    if not (base / "small").exists():
        make_study(base, [Ending("finished", seed=index) for index in range(11)] + [Ending("cut"), Ending("error")])
        summary = {"seconds": 3.5, "baseline_majority": {"dev_weighted_f1": 0.2}, "mlflow": {"uri": "sqlite:///x.db"}}
        (base / "small" / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return base / "small"


def _evaluation(base: Path) -> Path:
    if not (base / "eval").exists():
        make_evaluation(base / "eval")
    return base / "eval"


def _with(kind: str, folder: Path, name: str, content: bytes) -> Input:
    """A copy of a folder in which one file holds other content."""

    def write(place: Path) -> Path:
        copy = Path(shutil.copytree(folder, place / "copy"))
        (copy / name).write_bytes(content)
        return copy

    return Input(f"{Path(name).name}: {kind}", write)


def _kinds(make: Callable[[Path], Path], names: Sequence[str], base: Path) -> list[Input]:
    folder = make(base)
    found = []
    for name in names:
        contents = {"empty": b"", "bytes": b"\xff\xfe\x00\x01", "a number": b"3", "deep": json_bytes(deep(5000))}
        contents |= {"only a header": (folder / name).read_bytes().split(b"\n")[0], "quote left open": b'a,b\n"x'}
        found += [_with(kind, folder, name, content) for kind, content in contents.items()]
    return found


def _mutants(make: Callable[[Path], Path], names: Sequence[str], base: Path, rng: random.Random) -> Iterator[Input]:
    folder = make(base)
    while True:
        name = rng.choice(names)
        content = (folder / name).read_bytes()
        if name.endswith(".json") and rng.random() < 0.7:
            what, tree = mutated_tree(json.loads(content), rng)
            if rng.random() < 0.3:
                what, tree = "text that is markup", _marked(json.loads(content), rng)
            yield _with(what, folder, name, json_bytes(tree))
        elif name == "journal.log" and rng.random() < 0.6:
            yield _with("a value in a line", folder, name, _line_changed(content, rng))
        else:
            what, changed = mutated_bytes(content, rng)
            yield _with(what, folder, name, changed)


def _marked(tree: Any, rng: random.Random) -> Any:
    """Replace every text of a tree by text that is markup elsewhere."""
    if isinstance(tree, dict):
        return {key: _marked(value, rng) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_marked(value, rng) for value in tree]
    return rng.choice(_NASTY) if isinstance(tree, str) else tree


def _line_changed(content: bytes, rng: random.Random) -> bytes:
    """Change a value in one operation of a journal."""
    lines = content.splitlines()
    place = rng.randrange(len(lines))
    operation = json.loads(lines[place])
    key = rng.choice(list(operation))
    if rng.random() < 0.5 and isinstance(operation[key], dict):
        _, operation[key] = mutated_tree(operation[key], rng)
    else:
        operation[key] = rng.choice(VALUES)
    lines[place] = json_bytes(operation)
    return b"\n".join(lines) + b"\n"


_STUDY_FILES = ["journal.log", "space.json", "summary.json"]
_STUDY_FILES += [f"trials/{trial:05d}/artifacts/{name}" for trial in (0, 3) for name in _OF_TRIAL]
_EVALUATION_FILES = ["results.json", "trials/00001/test_predictions.csv"]

DOORS = [
    Door("page of a study", read_study, partial(_kinds, _study, _STUDY_FILES), partial(_mutants, _study, _STUDY_FILES)),
    Door(
        "page of an evaluation",
        read_evaluation,
        partial(_kinds, _evaluation, _EVALUATION_FILES),
        partial(_mutants, _evaluation, _EVALUATION_FILES),
    ),
]
