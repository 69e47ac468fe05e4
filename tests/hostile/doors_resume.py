"""The door of a study that goes on: its journal, as `--resume` and a dry run read it."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from doors_space import SMALL
from hostile_door import Door, Input
from hostile_mutations import json_bytes, mutated_bytes, mutated_tree

from mer.study.folder.read_study import read_record
from mer.study.paths import JOURNAL
from mer.study.search.identity import check_journal
from mer.study.search.ledger import Ledger
from mer.study.space.load import load_spec
from mer.study.space.spec import StudySpec

POINTS = "points: [{head.hidden: 16}]\n"
LAYERS = "{choice: [[1, 2], last]}"


@cache
def spec() -> StudySpec:
    """Load the small search space, with a choice between lists."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_text(SMALL.replace("params:", f"params:\n  encoders.text.layers: {LAYERS}") + POINTS)
        return load_spec(path)


def journal_of(folder: Path) -> bytes:
    """Write the journal of a study with trials that ended in every way; return its content."""
    ledger = Ledger(folder, spec())
    for outcome in ("finished", "cut", "error", None):
        assignment = ledger.next_assignment()
        assert assignment is not None
        row = {"epoch": 1.0, "timestamp_ms": 1.0, "dev_weighted_f1": 0.5, "dev_loss": 1.0}
        ledger.report(assignment.number, 1, 0.5)
        if outcome is not None:
            ledger.end(assignment.number, outcome, best=row, reason="so", last=(2, 0.5))
    return (folder / JOURNAL).read_bytes()


def read_journal(folder: Path) -> None:
    """Read the study as commands do, then go on with it."""
    record = read_record(folder)
    assert len({standing.number for standing in record.standings}) == len(record.standings)
    assert all(isinstance(standing.reason, str) for standing in record.standings)
    check_journal(folder, spec())
    ledger = Ledger(folder, spec())
    before = {trial.number: trial.state for trial in ledger.trials()}
    assignment = ledger.next_assignment()
    if assignment is not None:
        spec().trial_config(assignment.params)
        assert assignment.number not in before or not before[assignment.number].is_finished()
    again = Ledger(folder, spec())
    assert len(again.trials()) >= len(before)


def study_input(kind: str, content: bytes) -> Input:
    """Make a study's folder with such a journal."""

    def write(folder: Path) -> Path:
        (folder / "small").mkdir()
        (folder / "small" / JOURNAL).write_bytes(content)
        return folder / "small"

    return Input(kind, write)


def kinds(base: Path) -> Sequence[Input]:
    """Journals that were thought of."""
    whole = journal_of(base)
    lines = whole.splitlines(keepends=True)
    found = {
        "as it is": whole,
        "nothing": b"",
        "blank lines": whole + b"\n \n",
        "a number": whole + b"5\n",
        "numbers": b"5\n6\n",
        "a list": whole + b"[]\n",
        "a list first": b"[]\n" + whole,
        "deep": whole + b"[" * 100_000 + b"\n",
        "deep value": whole
        + b'{"op_code": 8, "worker_id": "x", "trial_id": 0, "user_attr": {"a": '
        + b"[" * 900
        + b"]" * 900
        + b"}}\n",
        "torn": whole[:-30],
        "torn and gone on": whole[:-30] + b"\n" + lines[-1],
        "twice": whole * 2,
        "NUL": whole + b"\0" * 500,
        "zeros in the middle": b"".join([*lines[:4], b"\0" * 200, *lines[4:]]),
        "no newline": whole.rstrip(b"\n"),
        "latin-1": whole.replace(b'"so"', b'"s\xf6"'),
        "CRLF": whole.replace(b"\n", b"\r\n"),
        "backwards": b"".join(reversed(lines)),
        "without its first line": b"".join(lines[1:]),
        "first line only": lines[0],
        "another operation": whole + b'{"op_code": 99, "worker_id": "x"}\n',
        "true": whole + b'{"op_code": true}\n',
        "another study": whole.replace(b'"small"', b'"other"'),
        "another generation": whole.replace(b"generation", b"g"),
        "no identity": whole.replace(b'"identity"', b'"identities"'),
        "identity 5": lines[0] + b'{"op_code": 2, "worker_id": "x", "study_id": 0, "user_attr": {"identity": 5}}\n',
        "ending 5": whole.replace(b'"ending": {', b'"ending": 5, "x": {').replace(b'"ending":{', b'"ending":5,"x":{'),
        "an outcome that is none": whole.replace(b'"finished"', b'"won"'),
        "NaN": whole.replace(b"0.5", b"NaN"),
        "text for a number": whole.replace(b"0.5", b'"0.5"'),
        "10**400": whole.replace(b"0.5", b"1" + b"0" * 400),
        "trial 10**9": whole.replace(b'"trial_id":0', b'"trial_id":1000000000'),
        "trial -1": whole.replace(b'"trial_id":0', b'"trial_id":-1'),
        "state 9": whole.replace(b'"state":1', b'"state":9'),
        "a date that is none": whole.replace(b'"datetime_start":"', b'"datetime_start":"x'),
        "a distribution that is none": whole.replace(b"FloatDistribution", b"Float"),
        "marked text that is no JSON": whole.replace(b"json:[", b"json:{"),
        "a choice that is none": whole.replace(b'"param_value_internal":1', b'"param_value_internal":7'),
        "a line of 10 MB": whole
        + b'{"op_code": 8, "worker_id": "x", "trial_id": 0, "user_attr": {"a": "'
        + b"x" * 10**7
        + b'"}}\n',
    }
    return [study_input(kind, content) for kind, content in found.items()]


def mutants(base: Path, rng: random.Random) -> Iterator[Input]:
    """Changed bytes, and one changed value in one line."""
    whole = (base / JOURNAL).read_bytes()
    lines = whole.splitlines()
    while True:
        what, content = mutated_bytes(whole, rng)
        yield study_input(f"bytes: {what}", content)
        number = rng.randrange(len(lines))
        what, tree = mutated_tree(json.loads(lines[number]), rng)
        changed = [*lines[:number], json_bytes(tree), *lines[number + 1 :]]
        yield study_input(f"line {number}: {what}", b"\n".join(changed) + b"\n")


DOORS = [Door("resumed journal", read_journal, kinds, mutants)]
