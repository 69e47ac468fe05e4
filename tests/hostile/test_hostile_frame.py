"""The frame that sends hostile inputs notices each way in which a door can fail."""

from __future__ import annotations

import hostile_run
import hostile_worker
import pytest
from hostile_door import Door, Input, drawn, file_input
from hostile_run import judged, pattern, unclear
from hypothesis import strategies

from mer.errors import MerError


def _end(read, must="") -> tuple[str, str]:
    door = Door("x", read, lambda base: [], lambda base, rng: iter(()))
    ending = judged(door, Input("a kind", lambda folder: folder, must), hostile_worker.handle(read, None))
    return ending.outcome, ending.message


def _refuse(path):
    raise MerError("x.yaml:3", "is not right")


def _misread(path):
    raise KeyError("name")


def _read_wrongly(path):
    raise AssertionError("5 is not 6")


def _refuse_by_the_system(path):
    raise FileNotFoundError(2, "No such file", "x.yaml")


def _take_memory(path):
    assert bytearray(b"x" * 150 * 2**20)


@pytest.mark.parametrize(
    ("read", "must", "outcome", "words"),
    [
        (lambda path: None, "", "accepted", ""),
        (lambda path: None, "refused", "wrong", "accepted, must be refused"),
        (_refuse, "", "refused", "x.yaml:3: is not right"),
        (_refuse, "accepted", "wrong", "refused, must be accepted"),
        (_misread, "", "unexpected", "KeyError: 'name' at test_hostile_frame.py"),
        (_read_wrongly, "", "wrong", "5 is not 6"),
        (_refuse_by_the_system, "", "refused", "x.yaml: No such file"),
    ],
)
def test_how_an_input_ended(read, must, outcome, words):
    found, message = _end(read, must)
    assert (found, message[: len(words)]) == (outcome, words)


def test_bounds(monkeypatch):
    monkeypatch.setattr(hostile_run, "MOST_MB", 100.0)
    assert _end(_take_memory)[0] == "memory"
    monkeypatch.setattr(hostile_run, "MOST_SECONDS", -1.0)
    assert _end(lambda path: None)[0] == "slow"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("x.yaml:3: params: got 5", ""),
        (" \n", "empty"),
        ("x" * 9000, "9000 characters"),
        ("x: got '\x1b[2J'", "holds the character '\\x1b'"),
        ("x: Input should be a valid integer", "a library speaks ('Input should')"),
    ],
)
def test_what_is_a_message(message, why):
    assert unclear(message) == why


def test_messages_of_one_kind_fall_together():
    one, two = "/tmp/hostile-a1/input/x.yaml:3: got 'a'", "/tmp/hostile-b2/base-0/x.yaml:14: got 'b c'"
    assert pattern(one) == pattern(two) == "x.yaml:#: got '...'"


def test_drawn_values_are_the_same_every_time():
    numbers = drawn(strategies.integers(), 20)
    assert len(numbers) == 20 and numbers == drawn(strategies.integers(), 20)


def test_a_worker_that_hangs_or_dies_is_replaced(tmp_path, monkeypatch):
    script = (
        "import json, os, sys, time\nanswers = os.fdopen(int(sys.argv[1]), 'w')\n"
        "print(json.dumps({'ready': 1}), file=answers, flush=True)\n"
        "for line in sys.stdin:\n"
        "    path = json.loads(line)['path']\n"
        "    time.sleep(60) if path == 'hang' else os._exit(9) if path == 'die' else None\n"
        "    answer = {'outcome': 'accepted', 'message': '', 'seconds': 0, 'peak_mb': 0}\n"
        "    print(json.dumps(answer), file=answers, flush=True)\n"
    )
    (tmp_path / "hostile_worker.py").write_text(script)
    monkeypatch.setattr(hostile_run, "HERE", tmp_path)
    monkeypatch.setattr(hostile_run, "HANGS_SECONDS", 1.0)
    with hostile_run.Worker() as worker:
        outcomes = [worker.ask("x", path)["outcome"] for path in ("good", "hang", "good", "die", "good")]
    assert outcomes == ["accepted", "slow", "accepted", "died", "accepted"]


def test_a_file(tmp_path):
    assert file_input("k", "a.json", "\ud800").write(tmp_path).read_bytes() == b"\xed\xa0\x80"
