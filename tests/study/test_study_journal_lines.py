"""Each line of a journal is looked at before Optuna works with it: what is wrong is named, with its line."""

from __future__ import annotations

import pytest
from study_helpers import make_spec, open_ledger

from mer.errors import MerError
from mer.study.folder.read_study import read_record
from mer.study.search.identity import check_journal
from mer.study.search.operations import parse_line, unfit

TRIAL = b'"worker_id": "x", "trial_id": 0'


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"op_code": 7, ' + TRIAL + b', "step": 1, "intermediate_value": 0.5}', ""),
        (b'{"op_code": 10, "worker_id": "x"}', ""),
        (b'{"op_code": 7, ' + TRIAL + b', "step": 1}', "intermediate_value is missing"),
        (
            b'{"op_code": 7, ' + TRIAL + b', "step": "1", "intermediate_value": 1}',
            "step is not as it should be (a whole",
        ),
        (
            b'{"op_code": 7, ' + TRIAL + b', "step": true, "intermediate_value": 1}',
            "step is not as it should be (a whole",
        ),
        (
            b'{"op_code": 9, "worker_id": "x", "trial_id": -1, "system_attr": {}}',
            "trial_id is not as it should be (at least",
        ),
        (
            b'{"op_code": 8, ' + TRIAL + b', "user_attr": {"ending": 5}}',
            "user_attr.ending is not as it should be (a mapping",
        ),
        (
            b'{"op_code": 8, ' + TRIAL + b', "user_attr": {"ending": {"reason": "x"}}}',
            "user_attr.ending.outcome is missing",
        ),
        (
            b'{"op_code": 2, "worker_id": "x", "study_id": 0, "user_attr": {"identity": []}}',
            "user_attr.identity is not as",
        ),
        (b'{"op_code": 99, "worker_id": "x"}', "this version knows no operation 99"),
        (
            b'{"op_code": 8, ' + TRIAL + b', "user_attr": {"a": ' + b"[" * 80 + b"]" * 80 + b"}}",
            "more than 64 levels deep",
        ),
        (
            b'{"op_code": 6, ' + TRIAL + b', "state": 1, "values": [1.0], "datetime_complete": "soon"}',
            "datetime_complete is not as it should be",
        ),
        (
            b'{"op_code": 5, ' + TRIAL + b', "param_name": "a", "param_value_internal": 0, "distribution": "{}"}',
            "distribution is not as it should be",
        ),
    ],
)
def test_operations(line, why):
    found = parse_line(line)
    assert found is not None
    assert unfit(found, line).startswith(why) if why and "levels" not in why else why in unfit(found, line)


@pytest.mark.parametrize(
    "line", [b"5", b"[]", b"{}", b'{"op_code": true}', b'{"op_code": "1"}', b"[" * 100_000, b"\xff"]
)
def test_lines_that_are_no_operation(line):
    assert parse_line(line) is None


@pytest.fixture
def study(tmp_path):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "small", spec)
    ledger.next_assignment()
    return tmp_path / "small", spec


@pytest.mark.parametrize("read", ["record", "check", "resume"])
def test_every_reader_names_the_line_and_leaves_the_file_alone(study, read):
    folder, spec = study
    journal = folder / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:2], lines[2].replace(b'"study_id":0', b'"study_id":"0"'), *lines[3:]])
    journal.write_bytes(damaged)
    with pytest.raises(MerError) as caught:
        {"record": read_record, "check": lambda f: check_journal(f, spec), "resume": lambda f: open_ledger(f, spec)}[
            read
        ](folder)
    assert str(caught.value).startswith(f'{journal}:3: is damaged: \'{{"op_code":') and "study_id" in str(caught.value)
    assert journal.read_bytes() == damaged


def test_operations_that_contradict_those_before_them_are_found(study):
    folder, spec = study
    journal = folder / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    extra = b'{"op_code": 8, "worker_id": "x", "trial_id": 0, "user_attr": {"a": 1, "b": 2}}\n'  # Optuna asserts one
    journal.write_bytes(b"".join([*lines, extra]))
    with pytest.raises(MerError, match=rf"operation {len(lines) + 1} contradicts those before it \(AssertionError\)"):
        open_ledger(folder, spec)
