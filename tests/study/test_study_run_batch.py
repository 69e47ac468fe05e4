"""Writes to MLflow in few transactions: what one run has refused, others get; nothing is half there after a failure."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from mer.study.tracking.run_batch import RunBatch, one_transaction
from mer.study.tracking.store import create_database

pytestmark = pytest.mark.slow


class Store:
    """A database with one experiment, and the writes that failed."""

    def __init__(self, folder: Path) -> None:
        uri = f"sqlite:///{folder}/mlflow.db"
        create_database(uri)
        self.client = MlflowClient(uri)
        self.experiment = self.client.create_experiment("e", artifact_location=(folder / "files").as_uri())
        self.failed: list[Exception] = []
        self.runs: dict[int, str] = {}

    def batch(self) -> RunBatch:
        return RunBatch(self.client, self.experiment, self.runs, self.failed.append)

    def found(self) -> dict[str, Any]:
        return {run.info.run_name: run for run in self.client.search_runs([self.experiment])}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def add(batch: RunBatch, number: int, done: list[int], files: Path | None = None) -> None:
    entry = batch.of(number)
    entry.create = f"r{number}", {"number": str(number)}, 1000 + number
    entry.params.append(Param("p", str(number)))
    entry.metrics += [Metric("m", float(step), 10 * step, step) for step in range(3)]
    entry.tags.append(RunTag("ended", "yes"))
    entry.artifacts, entry.ending = files, ("FINISHED", 5000 + number)
    entry.afterwards.append(lambda: done.append(number))


def count_commits(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    from sqlalchemy import event

    commits: list[None] = []
    event.listen(store.client._tracking_client.store.engine, "commit", lambda _: commits.append(None))
    return commits


def test_forty_runs_take_two_commits_that_write(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    files, done, batch = tmp_path / "made", [], store.batch()
    files.mkdir()
    (files / "a.csv").write_text("a")
    for number in range(40):
        add(batch, number, done, files if number == 7 else None)
    commits = count_commits(store, monkeypatch)
    batch.write()
    assert len(commits) <= 2, "values and statuses; where the files go is known"
    found = store.found()
    assert store.failed == [] and done == list(range(40)) and len(found) == 40 and len(batch) == 0
    run = found["r7"]
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", 1007, 5007)
    assert run.data.params == {"p": "7"} and run.data.metrics == {"m": 2.0}
    assert run.data.tags.items() >= {"number": "7", "ended": "yes"}.items()
    assert [(m.step, m.value) for m in store.client.get_metric_history(run.info.run_id, "m")] == [
        (0, 0),
        (1, 1),
        (2, 2),
    ]
    assert [file.path for file in store.client.list_artifacts(run.info.run_id)] == ["a.csv"]
    assert store.runs[7] == run.info.run_id
    batch.write()  # nothing is left to write
    assert len(store.found()) == 40


def test_what_is_there_already_is_no_fault_and_nothing_is_lost_over_it(store: Store) -> None:
    """A resumed trial says its history again: MLflow drops what it has, in a way that undoes a shared transaction."""
    done: list[int] = []
    first = store.batch()
    add(first, 0, done)
    first.write()
    second = store.batch()
    add(second, 1, done)
    again = second.of(0)
    again.reopen, again.metrics = True, [Metric("m", float(step), 10 * step, step) for step in range(5)]
    add(second, 2, done)
    second.write()
    found = store.found()
    assert store.failed == [] and len(found) == 3 and done == [0, 1, 2]
    assert len(store.client.get_metric_history(store.runs[0], "m")) == 5 and found["r0"].info.status == "RUNNING"
    assert found["r1"].data.metrics == found["r2"].data.metrics == {"m": 2.0}


def test_a_refused_run_is_said_and_left_open_and_the_others_are_written(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(store.client, "log_artifacts", full)
    done: list[int] = []
    batch = store.batch()
    for number in range(3):
        add(batch, number, done)
    batch.of(1).params.append(Param("x" * 900, "a name that is too long"))
    add(batch, 3, done, tmp_path)
    batch.of(4).metrics.append(Metric("m", 1.0, 1, 1))  # no run, and nobody says how to create it
    batch.of(2).afterwards.insert(0, lambda: 1 / 0)  # type: ignore[arg-type]
    batch.write()
    found = store.found()
    assert {name: run.info.status for name, run in found.items()} == {
        "r0": "FINISHED", "r1": "RUNNING", "r2": "FINISHED", "r3": "RUNNING",
    }  # fmt: skip
    assert done == [0, 2] and len(store.failed) == 4


def test_a_transaction_that_fails_leaves_nothing_and_the_store_as_it_was(store: Store) -> None:
    with pytest.raises(Exception, match="on purpose"), one_transaction(store.client):
        store.client.create_run(store.experiment, run_name="lost")
        raise ValueError("on purpose")
    assert store.found() == {}
    store.client.create_run(store.experiment, run_name="kept")
    assert set(store.found()) == {"kept"}


def test_other_stores_take_calls_one_by_one() -> None:
    with one_transaction(object()):
        time.sleep(0)


def test_runs_of_trials_are_found_alike_in_sql_and_by_search(store: Store) -> None:
    """Deleted runs, those of other studies and those without an outcome included."""
    from mer.study.tracking.store import PARENT_TAG, TAG_OUTCOME, TAG_TRIAL, children

    def run(number: int, parent: str, ending: str = "", **tags: str) -> str:
        tags = {PARENT_TAG: parent, TAG_TRIAL: str(number), **tags}
        made = store.client.create_run(store.experiment, tags=tags).info.run_id
        if ending:
            store.client.set_terminated(made, status=ending)
        return made

    run(0, "mine", "FINISHED", **{TAG_OUTCOME: "finished"})
    run(1, "mine", "KILLED", **{TAG_OUTCOME: "cut"})
    run(2, "mine")
    store.client.delete_run(run(3, "mine", "FAILED"))
    run(0, "other", "FINISHED")
    server = SimpleNamespace(search_runs=store.client.search_runs)  # a client that is not of an SQL store
    found = children(store.client, store.experiment, "mine")
    assert found == children(server, store.experiment, "mine")
    told = {number: (child.status, child.outcome) for number, child in found.items()}
    assert told == {0: ("FINISHED", "finished"), 1: ("KILLED", "cut"), 2: ("RUNNING", "")}
