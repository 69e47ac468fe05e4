"""Writes to MLflow in few transactions: what one run has refused, others get; nothing is half there after a failure."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient

from mer.study.tracking.found_runs import find_runs, one_for_each
from mer.study.tracking.points import Point
from mer.study.tracking.run_batch import Patch, StoreAway, write_batch
from mer.study.tracking.store import TAG_DIGEST, TAG_GENERATION, TAG_OUTCOME, TAG_TRIAL
from mer.study.tracking.study_runs import StudyRuns
from mer.study.tracking.transaction import one_transaction

pytestmark = pytest.mark.slow


class Store:
    """A database with one experiment."""

    def __init__(self, folder: Path, empty: Path) -> None:
        uri = f"sqlite:///{folder}/mlflow.db"
        shutil.copy(empty, folder / "mlflow.db")
        self.client = MlflowClient(uri)
        self.experiment = self.client.create_experiment("e", artifact_location=(folder / "files").as_uri())
        self.runs = StudyRuns(self.client, self.experiment, "mine")

    def found(self) -> dict[str, Any]:
        return {run.info.run_name: run for run in self.client.search_runs([self.experiment])}


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Store:
    return Store(tmp_path, empty_store)


def patch(number: int, *files: Path) -> Patch:
    return Patch(
        str(number),
        create=(f"r{number}", {"number": str(number)}, 1000 + number),
        params={"p": str(number)},
        points=[Point("m", float(step), 10 * step, step) for step in range(3)],
        tags={"ended": "yes"},
        files=files,
        ending=("FINISHED", 5000 + number),
        digest=f"d{number}",
    )


def count_commits(store: Store) -> list[None]:
    from sqlalchemy import event

    commits: list[None] = []
    event.listen(store.client._tracking_client.store.engine, "commit", lambda _: commits.append(None))
    return commits


def test_forty_runs_take_two_commits_that_write(store: Store, tmp_path: Path) -> None:
    (file := tmp_path / "a.csv").write_text("a")
    patches = [patch(number, *([file] if number == 7 else [])) for number in range(40)]
    commits = count_commits(store)
    written = write_batch(store.runs, patches)
    assert len(commits) <= 2, "values and statuses; where the files go is known"
    found = store.found()
    assert written.failed == {} and list(written.runs) == [str(number) for number in range(40)] and len(found) == 40
    run = found["r7"]
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", 1007, 5007)
    assert run.data.params == {"p": "7"} and run.data.metrics == {"m": 2.0}
    assert run.data.tags.items() >= {"number": "7", "ended": "yes", TAG_DIGEST: "d7"}.items()
    history = store.client.get_metric_history(run.info.run_id, "m")
    assert [(m.step, m.value) for m in history] == [(0, 0), (1, 1), (2, 2)]
    assert [file.path for file in store.client.list_artifacts(run.info.run_id)] == ["a.csv"]
    assert written.runs["7"] == run.info.run_id


def test_what_is_there_already_is_no_fault_and_nothing_is_lost_over_it(store: Store) -> None:
    """MLflow drops what it has, in a way that undoes a shared transaction."""
    first = write_batch(store.runs, [patch(0)]).runs["0"]
    again = Patch("0", first, reopen=True, points=[Point("m", float(step), 10 * step, step) for step in range(5)])
    written = write_batch(store.runs, [patch(1), again, patch(2)])
    found = store.found()
    assert written.failed == {} and len(found) == 3 and set(written.runs) == {"0", "1", "2"}
    assert len(store.client.get_metric_history(first, "m")) == 5 and found["r0"].info.status == "RUNNING"
    assert found["r1"].data.metrics == found["r2"].data.metrics == {"m": 2.0}


def test_a_refused_run_is_said_and_left_open_and_the_others_are_written(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, run_id: str, files: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(StudyRuns, "upload", full)
    bad = patch(1)
    bad.params = {"x" * 900: "a name that is too long"}
    written = write_batch(
        store.runs, [patch(0), bad, patch(2), patch(3, tmp_path), Patch("4", points=[Point("m", 1.0, 1, 1)])]
    )
    found = store.found()
    assert {name: run.info.status for name, run in found.items()} == {
        "r0": "FINISHED", "r1": "RUNNING", "r2": "FINISHED", "r3": "RUNNING",
    }  # fmt: skip
    assert set(written.runs) == {"0", "2"} and set(written.failed) == {"1", "3", "4"}
    assert TAG_DIGEST not in found["r1"].data.tags and TAG_DIGEST not in found["r3"].data.tags


def test_a_store_that_takes_nothing_ends_the_batch_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def away(self: Any, *_: Any, **__: Any) -> None:
        asked.append("")
        raise OSError("nobody answers")

    for name in ("create", "probe"):
        monkeypatch.setattr(StudyRuns, name, away)
    with pytest.raises(StoreAway, match="nobody answers"):
        write_batch(store.runs, [patch(number) for number in range(40)])
    assert len(asked) == 2, "the first write, and whether it was the store or the run"
    assert store.found() == {}


def test_a_transaction_that_fails_leaves_nothing_and_the_store_as_it_was(store: Store) -> None:
    with pytest.raises(Exception, match="on purpose"), one_transaction(store.client):
        store.client.create_run(store.experiment, run_name="lost")
        raise ValueError("on purpose")
    assert store.found() == {}
    store.client.create_run(store.experiment, run_name="kept")
    assert set(store.found()) == {"kept"}


def test_a_database_that_takes_nothing_is_noticed_by_the_probe(store: Store) -> None:
    """The same value again would be no write at all."""
    from sqlalchemy import event

    store.runs.probe()
    store.runs.probe()
    read_only = lambda connection, *_: connection.execute("pragma query_only = on")  # noqa: E731
    event.listen(store.client._tracking_client.store.engine, "connect", read_only)
    store.client._tracking_client.store.engine.dispose()
    with pytest.raises(Exception, match="readonly"):
        store.runs.probe()


def test_other_stores_take_calls_one_by_one() -> None:
    with one_transaction(object()):
        time.sleep(0)


def test_runs_of_trials_are_found_alike_in_sql_and_by_search(store: Store) -> None:
    """Deleted runs and those without an outcome included; those of other searches not."""

    def run(number: int, generation: str, ending: str = "", **tags: str) -> str:
        tags = {TAG_GENERATION: generation, TAG_TRIAL: str(number), **tags}
        made = store.client.create_run(store.experiment, tags=tags, start_time=number).info.run_id
        if ending:
            store.client.set_terminated(made, status=ending)
        return made

    run(0, "mine", "FINISHED", **{TAG_OUTCOME: "finished", TAG_DIGEST: "abc"})
    run(1, "mine", "KILLED", **{TAG_OUTCOME: "cut"})
    run(2, "mine")
    store.client.delete_run(run(3, "mine", "FAILED"))
    run(0, "other", "FINISHED")
    server = SimpleNamespace(search_runs=store.client.search_runs)  # a client that is not of an SQL store
    found = find_runs(store.client, store.experiment, "mine")
    assert sorted(found) == sorted(find_runs(server, store.experiment, "mine"))
    told = {run.trial: (run.status, run.outcome, run.digest, run.deleted) for run in found}
    assert told == {
        "0": ("FINISHED", "finished", "abc", False), "1": ("KILLED", "cut", "", False),
        "2": ("RUNNING", "", "", False), "3": ("FAILED", "", "", True),
    }  # fmt: skip
    chosen, extra = one_for_each(found)
    assert set(chosen) == {"0", "1", "2", "3"} and extra == []
