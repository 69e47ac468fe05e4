"""Tables of utterances that somebody else sends."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hostile_corpus import LABELS, sound_corpus
from hostile_door import Door, Input, file_input
from hostile_folders import (
    not_files,
)
from hostile_mutations import deep, json_bytes, mutated_bytes, mutated_tree

from mer.config import Columns, DataConfig
from mer.data.inputs import from_table
from mer.data.registry import open_corpus


def read_csv(path: Path) -> None:
    data = DataConfig.model_validate({"dataset": "csv", "root": str(path), "split": {"dev": 0.3}})
    sound_corpus(open_corpus(data), ("train", "dev"))


def read_for_prediction(path: Path) -> None:
    inputs = from_table(path, DataConfig(), class_names=LABELS, reads=("text",), speaker="Speaker", named=Columns())
    assert len(inputs.rows) == len(inputs.utterances) and set(inputs.labels) <= {*LABELS, ""}


def table(rows: int = 12, **columns: Any) -> str:
    """Write a good table. Args: columns: name -> the cell of each row."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    made = {"text": "Line {}.", "label": None, **columns}
    writer.writerow(made)
    for row in range(rows):
        cells = [LABELS[row % 3] if cell is None else str(cell).replace("{}", str(row)) for cell in made.values()]
        writer.writerow(cells)
    return stream.getvalue()


_RUIN: dict[str, Any] = {
    "nothing": b"",
    "a header": b"text,label\n",
    "a header and blanks": b"text,label\n\n\n,\n",
    "NUL": table().replace("Line 3.", "a\x00b"),
    "escapes in a text": table().replace("Line 3.", "\x1b[2J\x1b]0;title\x07"),
    "escapes in the header": table().replace("text", "text\x1b[2J", 1),
    "escapes in a label": table().replace("anger", "an\x1b[2Jger"),
    "a line end in a label": table().replace("anger", '"an\nger"'),
    "a formula": table().replace("Line 3.", "=cmd|' /C calc'!A0"),
    "an id of 5 000 digits": table(id="9" * 5000),
    "ids with line ends": table(id="a{}\nb"),
    "ids with escapes": table(id="a{}\x1b[2J"),
    "ids with slashes": table(id="../../{}"),
    "ids with NUL": table(id="a{}\x00"),
    "one id for all": table(id="a"),
    "a turn of 5 000 digits": table(dialogue="a", turn="9" * 5000 + "{}"),
    "a negative turn": table(dialogue="a", turn="-{}"),
    "a time of 10**400": table(start="1" + "0" * 400, end="2" + "0" * 400),
    "times NaN": table(start="nan", end="nan"),
    "times infinite": table(start="-inf", end="inf"),
    "a text of 10 MB": table().replace("Line 3.", "word " * 2_000_000),
    "a word of 10 MB": table().replace("Line 3.", "x" * 10_000_000),
    "an open quote": table().replace("Line 3.", '"Line 3.'),
    "a quote within": table().replace("Line 3.", 'Li"ne" 3.'),
    "the header twice": table().replace("text,label", "text,label,text", 1),
    "the same column twice, in other letters": table().replace("text,label", "text,Text", 1),
    "100 000 columns": ",".join(f"c{i}" for i in range(100_000)) + "\n" + "1," * 99_999 + "1\n",
    "a header of 10 MB": "x" * 10_000_000 + ",label\na,joy\n",
    "rows of one cell": "text,label\n" + "x\n" * 100,
    "rows of 10 000 cells": "text,label\n" + ",".join("x" * 10_000) + "\n",
    "100 000 faulty rows": "text,label\n" + "x\n" * 100_000,
    "10 000 classes": "text,label\n" + "".join(f"a,label{i}\n" for i in range(10_000)),
    "a label of 100 000 characters": table().replace("anger", "a" * 100_000),
    "one class": table(label="joy"),
    "labels that are numbers": table(label="{}"),
    "labels that differ by case": table().replace("anger", "JOY"),
    "a lone surrogate": table().replace("Line 3.", "\ud800"),
    "UTF-16": table().encode("utf-16"),
    "UTF-16 cut": table().encode("utf-16")[:-1],
    "UTF-32": table().encode("utf-32"),
    "half of a BOM": b"\xef\xbb" + table().encode(),
    "cp1252": table().replace("Line 3.", "café").encode("cp1252"),
    "random": random.Random(1).randbytes(20_000),
    "zeros": b"\x00" * 100_000,
    "line ends only": b"\r\n" * 100_000,
    "commas only": b"," * 1_000_000,
    "a zip": b"PK\x03\x04" + b"\x00" * 1000,
    "a pickle": b"\x80\x04K\x05.",
    "sep=": "sep=\n" + table(),
    "a path out": table(audio="../../../../etc/passwd"),
    "an absolute path": table(audio="/etc/passwd"),
    "a path with NUL": table(audio="a\x00b.wav"),
}
_MUST = {
    "nothing": "refused",
    "a header": "refused",
    "the header twice": "refused",
    "one class": "refused",
    "ids with slashes": "",
    "cp1252": "accepted",
    "UTF-16": "accepted",
    "UTF-32": "accepted",
    "a formula": "accepted",
    "a lone surrogate": "refused",
    "a text of 10 MB": "refused",
    "an open quote": "refused",
}


def kinds_of_csv(base: Path) -> list[Input]:
    good = table(id="u{}", speaker="s{}", dialogue="d{}", turn="1")
    found = [file_input("good", "mine.csv", good, "accepted")]
    found += [file_input(kind, "mine.csv", content, _MUST.get(kind, "")) for kind, content in _RUIN.items()]  # type: ignore[arg-type]
    found += not_files(base, "mine.csv", good)
    found += [file_input(kind, "mine.csv.splits.json", content) for kind, content in {"a record alone": "{}"}.items()]
    return found


def mutants_of_csv(base: Path, rng: random.Random) -> Iterator[Input]:
    good = table(id="u{}", speaker="s{}", dialogue="d{}", turn="1").encode()
    while True:
        what, content = mutated_bytes(good, rng)
        for _ in range(rng.randrange(3)):
            what, content = mutated_bytes(content, rng)
        yield file_input(f"bytes: {what}", "mine.csv", content)


def json_lines(rows: int = 12, **changes: Any) -> list[dict[str, Any]]:
    return [{"id": f"u{i}", "text": f"Line {i}.", "label": LABELS[i % 3], **changes} for i in range(rows)]


def _lines(rows: Sequence[Any]) -> bytes:
    return b"".join(json_bytes(row) + b"\n" for row in rows)


def kinds_of_json_lines(base: Path) -> list[Input]:
    values: dict[str, Any] = {
        "null": None,
        "a number": 5,
        "10**400": 10**400,
        "a list": [1],
        "an object": {"a": 1},
        "nested": deep(500),
        "nested without end": deep(200_000),
        "a lone surrogate": "\ud800",
        "escapes": "\x1b[2J",
        "NUL": "a\x00b",
        "10 MB": "word " * 2_000_000,
        "true": True,
        "NaN": float("nan"),
        "infinity": float("inf"),
        "a fraction": 0.5,
    }
    found = [file_input("good", "mine.jsonl", _lines(json_lines()), "accepted")]
    for key in ("text", "label", "id", "audio", "start"):
        for kind, value in values.items():
            rows = json_lines()
            rows[3] = {**rows[3], key: value}
            found.append(file_input(f"{key}: {kind}", "mine.jsonl", _lines(rows)))
    rest: dict[str, bytes] = {
        "nothing": b"",
        "a list": b"[]\n",
        "a key twice": b'{"text": "a", "text": "b", "label": "joy"}\n',
        "nested without end": b"[" * 1_000_000,
        "not UTF-8": b'{"text": "\xff"}\n',
        "one line": b'{"text": "a"}',
        "an empty key": b'{"": 1, "text": "a", "label": "joy"}\n',
        "100 000 keys": _lines([{f"k{i}": 1 for i in range(100_000)}]),
    }
    found += [file_input(kind, "mine.jsonl", content) for kind, content in rest.items()]
    return [*found, *not_files(base, "mine.jsonl", '{"text": "a", "label": "joy"}\n')]


def mutants_of_json_lines(base: Path, rng: random.Random) -> Iterator[Input]:
    while True:
        rows: list[Any] = json_lines()
        place = rng.randrange(len(rows))
        what, rows[place] = mutated_tree(rows[place], rng)
        content = _lines(rows)
        if rng.random() < 0.3:
            what, content = mutated_bytes(content, rng)
        yield file_input(what, "mine.jsonl", content)


def kinds_for_prediction(base: Path) -> list[Input]:
    """What is wrong in a corpus (one class, no label) may be right here."""
    return [replace(hostile, must="") for hostile in (*kinds_of_csv(base), *kinds_of_json_lines(base))]


def mutants_for_prediction(base: Path, rng: random.Random) -> Iterator[Input]:
    tables, lines = mutants_of_csv(base, rng), mutants_of_json_lines(base, rng)
    while True:
        yield next(rng.choice([tables, lines]))


DOORS: Sequence[Door] = [
    Door("own.csv", read_csv, kinds_of_csv, mutants_of_csv),
    Door("own.jsonl", read_csv, kinds_of_json_lines, mutants_of_json_lines),
    Door("predict --file", read_for_prediction, kinds_for_prediction, mutants_for_prediction),
]
