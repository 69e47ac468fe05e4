"""The note of what must be in MLflow: the last word counts, a torn or foreign line costs nothing else."""

from __future__ import annotations

from pathlib import Path

from mer.study.tracking.content import Closing
from mer.study.tracking.outbox import Outbox


def test_what_was_noted_is_read_again(tmp_path: Path) -> None:
    first = Outbox(tmp_path)
    assert (first.open, first.closing) == ([], None)
    first.must("0", "a")
    first.must("1", "b")
    first.must("0", "c")
    first.confirm({"0": "a", "1": "b"})
    first.close(Closing("KILLED", 5, {"best": 0.5}, "note"))
    again = Outbox(tmp_path)
    assert again.open == [0], "MLflow has confirmed what is no longer right"
    assert (again.due, again.confirmed) == ({"0": "c", "1": "b"}, {"0": "a", "1": "b"})
    assert again.closing == Closing("KILLED", 5, {"best": 0.5}, "note")
    assert len((tmp_path / "mlflow.jsonl").read_text().splitlines()) == 6
    again.begin(tmp_path, "abc", "http://host")
    then = Outbox(tmp_path)
    assert (then.closing, then.place, then.git_sha, then.store) == (None, str(tmp_path), "abc", "http://host")


def test_a_torn_line_and_garbage_cost_only_themselves(tmp_path: Path) -> None:
    Outbox(tmp_path).must("0", "a")
    deep = b"[" * 100_000
    with (tmp_path / "mlflow.jsonl").open("ab") as stream:
        stream.write(b"\xff\n12\n[]\n" + deep + b'\n{"trial":3,"must":7,"closing":{"status":1}}\n{"trial":"1","mu')
    torn = Outbox(tmp_path)
    assert torn.due == {"0": "a"} and torn.closing is None
    torn.must("2", "b")
    assert Outbox(tmp_path).due == {"0": "a", "2": "b"}


def test_a_comparison_notes_only_news(tmp_path: Path) -> None:
    box = Outbox(tmp_path)
    for _ in range(2):
        box.note("0", "a", confirmed=True)
        box.note("1", "b", confirmed=False)
    assert len((tmp_path / "mlflow.jsonl").read_text().splitlines()) == 3 and box.open == [1]
