"""The tracker's record in MLflow, on SQLite in this process: runs, rows, endings, and what a later driver mends."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from study_helpers import make_spec, open_ledger, row

from mer.checkpoints import save_tensors
from mer.study.folder.standings import Standing
from mer.study.paths import trial_folder
from mer.study.search.ledger import Assignment, Ledger
from mer.study.search.stored_trial import params_of
from mer.study.space.spec import StudySpec
from mer.study.tracking.store import TrackingStore, create_database
from mer.study.tracking.tracker import Tracker
from mer.study.tracking.trial_files import DevSplit
from mer.training.member import identity_of

SCORES = (0.3, 0.5, 0.4)
ENVIRONMENT = {"command": "mer tune space.yaml", "git_sha": "abc", "python": "3.11"}


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that no study has written to; MLflow takes seconds to make one."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    create_database(f"sqlite:///{path}")
    return path


@dataclass
class Search:
    """One study folder, its ledger, and trackers that write about it as drivers do."""

    folder: Path
    spec: StudySpec
    store: TrackingStore
    ledger: Ledger
    told: list[tuple[int, str, Any]] = field(default_factory=list)

    def tracker(self, generation: str = "") -> Tracker:
        dev = DevSplit(("a", "b", "c"), np.array([0, 1, 1]))
        return Tracker(
            self.store, self.spec, self.folder, generation or self.ledger.generation, ENVIRONMENT, dev,
            after_trial=lambda number, outcome, best: self.told.append((number, outcome, best)),
        )  # fmt: skip

    def begin(self, tracker: Tracker) -> Assignment:
        assignment = self.ledger.next_assignment()
        assert assignment is not None
        tracker.trial_started(assignment.number, assignment.params, self.spec.trial_config(assignment.params))
        return assignment

    def write_weights(self, number: int, rows: list[Any]) -> None:
        """The files of a worker: dev scores of a best epoch, and a checkpoint with the history."""
        config = self.spec.trial_config(params_of(self.ledger.trials()[number]))
        card = {"class_names": ["neutral", "joy"], "epoch": 2.0}
        logits = torch.tensor([[2.0, 1.0], [1.0, 2.0], [2.0, 1.0]])
        save_tensors(trial_folder(self.folder, number) / "best.safetensors", {"dev_logits": logits}, card)
        card = {"history": rows, "config_sha256": identity_of(config)}
        save_tensors(trial_folder(self.folder, number) / "last.safetensors", {"w": torch.zeros(1)}, card)

    def end(self, tracker: Tracker, number: int, outcome: Any, best: Any, reason: str = "", last: Any = None) -> None:
        self.ledger.end(number, outcome, best=best, reason=reason, last=last)
        tracker.trial_ended(number, outcome, best, reason)

    def runs(self) -> dict[str, Run]:
        """`mer.trial` -> run, of all generations."""
        client = MlflowClient(self.store.uri)
        experiment = client.get_experiment_by_name(self.spec.study)
        return {run.data.tags["mer.trial"]: run for run in client.search_runs([experiment.experiment_id])}

    def curve(self, run: Run, key: str = "dev_weighted_f1") -> list[tuple[int, float, int]]:
        points = MlflowClient(self.store.uri).get_metric_history(run.info.run_id, key)
        return sorted((point.step, point.value, point.timestamp) for point in points)

    def files(self, run: Run, folder: str = "") -> set[str]:
        return {file.path for file in MlflowClient(self.store.uri).list_artifacts(run.info.run_id, folder)}


@pytest.fixture
def search(tmp_path: Path, empty_store: Path) -> Search:
    studies = tmp_path / "studies"
    (studies / "small").mkdir(parents=True)
    shutil.copy(empty_store, studies / "mlflow.db")
    spec = make_spec(tmp_path, ("study: small", "study: small\ndescription: a small one"))
    return Search(studies / "small", spec, TrackingStore.under(studies, None), open_ledger(studies / "small", spec))


def rows_of(scores: tuple[float, ...] = SCORES, first: int = 1) -> list[Any]:
    return [row(first + index, score, seconds=1.5) for index, score in enumerate(scores)]


def closed(tracker: Tracker, status: str = "FINISHED") -> None:
    assert not tracker.close(status, {"trials": 1.0}, "done")
    assert tracker.errors == []


def test_a_finished_trial_from_start_to_end(search: Search, tmp_path: Path) -> None:
    (search.folder / "space.json").write_text("{}")
    tracker = search.tracker()
    tracker.start([])
    trial = search.begin(tracker)
    rows = rows_of()
    search.write_weights(0, rows)
    tracker.trial_rows(0, rows[:2])
    tracker.trial_rows(0, [])
    tracker.trial_rows(0, rows[1:])  # a report that repeats an epoch
    search.end(tracker, 0, "finished", rows[1])
    standings = [
        Standing(0, "finished", rows[1], trial.params),
        Standing(7, "finished", rows[1]),
    ]  # 7 is of another search
    (search.folder / "summary.json").write_text("{}")
    assert not tracker.close("FINISHED", {"best": 0.5}, "**note**", standings)
    assert tracker.errors == [] and search.told == [(0, "finished", rows[1])]

    runs = search.runs()
    child, parent = runs["0"], runs["study"]
    assert set(runs) == {"0", "study"}
    assert child.info.status == parent.info.status == "FINISHED"
    assert child.data.tags.items() >= {
        "mlflow.parentRunId": parent.info.run_id, "mer.study": "small", "mer.outcome": "finished",
        "mer.generation": search.ledger.generation, "mer.git_sha": "abc", "sampled.head.hidden": "32",
    }.items()  # fmt: skip
    assert "mer.reason" not in child.data.tags
    assert child.info.run_name == "00000 spcl hl=1e-3 h=32"
    assert child.data.params["optim.head_lr"] == str(trial.params["optim.head_lr"])
    told = set(trial.params) | {"loss.contrastive.kind", "training.epochs"}
    assert set(child.data.params) == told, "what was searched, and what is not as usual"
    assert search.curve(child) == [(1, 0.3, 1001), (2, 0.5, 1002), (3, 0.4, 1003)]
    assert search.curve(child, "seconds") == [(1, 1.5, 1001), (2, 1.5, 1002), (3, 1.5, 1003)]
    assert not {"epoch", "timestamp_ms"} & set(child.data.metrics)
    assert search.curve(child, "best_dev_weighted_f1") == [(1, 0.3, 1001), (2, 0.5, 1002)]
    assert child.data.tags["mer.result"] == "dev_weighted_f1 50.00 at epoch 2 of 3"
    assert (child.data.metrics["best_epoch"], child.data.metrics["epochs_done"]) == (2, 3)
    kept = {"config.json", "history.csv", "environment.json", "per_class.csv", "dev_predictions.csv"}
    kept |= {"confusion.csv", "confusion.svg"}
    assert search.files(child) == kept
    folder = trial_folder(search.folder, 0)
    assert not (folder / "last.safetensors").exists() and (folder / "best.safetensors").exists()
    history = (folder / "artifacts/history.csv").read_text().splitlines()
    assert len(history) == 4 and "small 00000: dev" in (folder / "artifacts/confusion.svg").read_text()

    assert parent.info.run_name == "small" and parent.data.metrics == {"best": 0.5}
    assert parent.data.tags["mlflow.note.content"] == "**note**"
    assert search.files(parent) == {"space.json", "summary.json"}


def test_the_parent_while_it_runs(search: Search, tmp_path: Path) -> None:
    tracker = search.tracker()
    tracker.start([])
    die(tracker)
    parent = search.runs()["study"]
    assert parent.info.status == "RUNNING" and search.files(parent) == set()
    assert parent.data.tags["mlflow.note.content"] == "a small one\n\nRunning, started by `mer tune space.yaml`."
    assert parent.data.tags["mer.git_sha"] == "abc"
    client = MlflowClient(search.store.uri)
    experiment = client.get_experiment_by_name("small")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert experiment.artifact_location == f"{search.store.artifacts}/small"


@pytest.mark.parametrize(
    ("outcome", "status"), [("cut", "FINISHED"), ("nonfinite", "FAILED"), ("error", "FAILED"), ("finished", "FINISHED")]
)
def test_the_status_of_each_ending(search: Search, outcome: str, status: str) -> None:
    tracker = search.tracker()
    tracker.start([])
    search.begin(tracker)
    rows = rows_of()
    tracker.trial_rows(0, rows)
    best = rows[1] if outcome in ("finished", "cut") else None
    search.end(tracker, 0, outcome, best, "so it ended" if best is None else "")
    closed(tracker)
    child = search.runs()["0"]
    assert child.info.status == status and child.data.tags["mer.outcome"] == outcome
    assert child.data.tags.get("mer.reason") == ("so it ended" if best is None else None)
    assert child.data.metrics["best_epoch"] == 2 and child.data.metrics["best_dev_weighted_f1"] == 0.5
    assert ("mer.result" in child.data.tags) == (best is not None)


def test_a_trial_that_ended_before_its_first_row(search: Search) -> None:
    tracker = search.tracker()
    tracker.start([])
    search.begin(tracker)
    search.end(tracker, 0, "error", None, "out of luck")
    tracker.trial_started(1, {"head.hidden": 8}, None)  # the drawn configuration was refused
    tracker.trial_ended(1, "error", None, "refused")
    closed(tracker)
    runs = search.runs()
    assert runs["0"].info.status == "FAILED" and search.files(runs["0"]) == {
        *("config.json", "environment.json", "history.csv")
    }
    assert runs["1"].info.run_name == "00001 refused h=8" and runs["1"].data.params == {"head.hidden": "8"}


def test_what_is_open_at_the_end_is_interrupted_and_taken_up_by_the_next_driver(search: Search) -> None:
    first = search.tracker()
    first.start([])
    search.begin(first)
    search.begin(first)
    rows = rows_of()
    first.trial_rows(0, rows[:2])
    search.write_weights(0, rows)  # the last epoch was saved, and its report never heard
    search.write_weights(1, rows)
    first.trial_rows(1, rows)
    search.end(first, 1, "finished", rows[1])
    closed(first, "KILLED")
    before = search.runs()
    assert (before["study"].info.status, before["0"].info.status) == ("KILLED", "KILLED")
    assert before["0"].data.tags["mer.outcome"] == "interrupted"

    search.ledger = open_ledger(search.folder, search.spec)
    second = search.tracker()
    second.environment = {**ENVIRONMENT, "git_sha": "later"}
    second.start(search.ledger.trials())
    search.begin(second)
    more = rows_of((0.6,), first=4)
    second.trial_rows(0, [*rows, *more])
    search.end(second, 0, "finished", more[0])
    closed(second)
    after = search.runs()
    assert {key: run.info.run_id for key, run in after.items()} == {key: run.info.run_id for key, run in before.items()}
    assert after["0"].info.status == after["study"].info.status == "FINISHED"
    assert [step for step, _, _ in search.curve(after["0"])] == [1, 2, 3, 4]
    assert after["0"].data.metrics["epochs_done"] == 4
    assert after["1"].info.end_time == before["1"].info.end_time, "nothing was left to mend"
    environment = json.loads((trial_folder(search.folder, 0) / "artifacts/environment.json").read_text())
    assert environment == {**ENVIRONMENT, "seed": 0}, "the driver that began the trial"


def die(tracker: Tracker) -> None:
    """As a driver that is killed once MLflow has what was told: its threads stop, and nothing is closed."""
    tracker._queue.put(None)
    tracker._thread.join()
    writer, until = tracker._writer, time.monotonic() + 60
    while (writer._due or writer._stale) and time.monotonic() < until:
        time.sleep(0.02)
    with writer._changed:
        writer._abandoned, writer.patience._next = True, 0.0
        writer._due[-1] = writer._due.get(-1)  # wakes it
        writer._changed.notify()
    writer._thread.join()


def _killed(search: Search, tracker: Tracker, after: Callable[[], None]) -> None:
    """A driver that dies once `after` is queued: its thread stops, and nothing is closed."""
    after()
    die(tracker)
    search.ledger = open_ledger(search.folder, search.spec)


def test_an_ending_that_only_the_ledger_knows_is_written_by_the_next_driver(search: Search) -> None:
    first = search.tracker()
    first.start([])
    rows = rows_of()

    def die() -> None:
        search.begin(first)
        first.trial_rows(0, rows[:1])
        search.write_weights(0, rows)
        search.ledger.end(0, "cut", best=rows[1], last=(2, 0.5))  # the driver dies before it tells the tracker
        search.begin(first)
        search.ledger.end(1, "error", best=None, reason="out of luck")

    _killed(search, first, die)
    second = search.tracker()
    second.start(search.ledger.trials())
    closed(second)
    runs = search.runs()
    assert runs["0"].info.status == "FINISHED" and runs["0"].data.tags["mer.outcome"] == "cut"
    assert [step for step, _, _ in search.curve(runs["0"])] == [1, 2], "epoch 3 is beyond the verdict"
    assert runs["0"].data.metrics["best_epoch"] == 2
    assert runs["1"].info.status == "FAILED" and runs["1"].data.tags["mer.reason"] == "out of luck"
    assert [number for number, _, _ in search.told] == [0, 1]


def test_an_interrupted_trial_that_ended_unheard_is_finished_behind_one_that_is_whole(search: Search) -> None:
    """Trial 1 was closed as interrupted, ended in the journal under a driver that died before it wrote to MLflow."""
    first = search.tracker()
    first.start([])
    rows = rows_of()
    for number in range(2):
        search.begin(first)
        first.trial_rows(number, rows)
        search.write_weights(number, rows)
    search.end(first, 0, "finished", rows[1])
    closed(first, "KILLED")
    search.ledger.end(1, "finished", best=rows[1])
    search.ledger = open_ledger(search.folder, search.spec)
    second = search.tracker()
    second.start(search.ledger.trials())
    closed(second)
    runs = search.runs()
    assert runs["1"].info.status == "FINISHED" and runs["1"].data.tags["mer.outcome"] == "finished"
    assert [number for number, _, _ in search.told] == [0, 1]


def test_a_running_trial_of_a_dead_driver_is_brought_up_to_date(search: Search) -> None:
    first = search.tracker()
    first.start([])

    def die() -> None:
        search.begin(first)
        search.begin(first)
        search.write_weights(0, rows_of())

    _killed(search, first, die)
    assert search.runs()["0"].info.status == "RUNNING"
    second = search.tracker()
    second.start(search.ledger.trials())
    closed(second)
    runs = search.runs()
    assert {runs["0"].info.status, runs["1"].info.status} == {"KILLED"}
    assert len(search.curve(runs["0"])) == 3 and search.curve(runs["1"]) == []
    assert (trial_folder(search.folder, 0) / "last.safetensors").exists(), "still needed to go on"


def test_an_epoch_that_is_trained_again_after_a_damaged_checkpoint_is_in_the_record_once(search: Search) -> None:
    """Its checkpoint says two epochs, the record knows three; the third comes again, with another time and duration."""
    first = search.tracker()
    first.start([])

    def die() -> None:
        search.begin(first)
        first.trial_rows(0, rows_of())

    _killed(search, first, die)
    assert len(search.curve(search.runs()["0"])) == 3
    search.write_weights(0, rows_of()[:2])
    search.ledger = open_ledger(search.folder, search.spec)
    second = search.tracker()
    second.start(search.ledger.trials())
    search.begin(second)
    again = rows_of()[2] | {"seconds": 9.0, "timestamp_ms": 99_000.0}
    second.trial_rows(0, rows_of()[:2])
    second.trial_rows(0, [again])
    search.write_weights(0, [*rows_of()[:2], again])
    search.end(second, 0, "finished", rows_of()[1])
    closed(second)
    run = search.runs()["0"]
    assert (
        [step for step, _, _ in search.curve(run)] == [step for step, _, _ in search.curve(run, "seconds")] == [1, 2, 3]
    )


def test_trials_that_were_never_begun_get_no_run(search: Search) -> None:
    """Trial 0 waits as a point of the study; trial 1 was drawn by a driver that died before it told anyone."""
    waiting = search.ledger.trials()
    assert len(waiting) == 1
    search.ledger.next_assignment()
    search.ledger = open_ledger(search.folder, search.spec)
    tracker = search.tracker()
    tracker.start([*waiting, *search.ledger.trials()])
    closed(tracker)
    assert set(search.runs()) == {"study"}


def test_a_new_search_of_the_same_name_has_runs_of_its_own(search: Search) -> None:
    for generation in ("one", "two"):
        tracker = search.tracker(generation)
        tracker.start([])
        tracker.trial_started(0, {}, None)
        tracker.trial_ended(0, "error", None, generation)
        closed(tracker)
    client = MlflowClient(search.store.uri)
    runs = client.search_runs([client.get_experiment_by_name("small").experiment_id])
    assert sorted((run.data.tags["mer.generation"], run.data.tags["mer.trial"]) for run in runs) == [
        *(("one", "0"), ("one", "study"), ("two", "0"), ("two", "study"))
    ]


def test_more_children_than_a_page_and_more_values_than_a_batch(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = search.tracker()
    first.start([])
    long = [row(epoch, 0.5, **{f"m{i}": 0.1 for i in range(100)}) for epoch in range(1, 22)]  # 102 values an epoch
    for number in range(3):
        first.trial_started(number, {}, None)
    first.trial_rows(2, long)
    closed(first)
    usual = MlflowClient.search_runs
    monkeypatch.setattr(
        MlflowClient, "search_runs", lambda self, *args, **given: usual(self, *args, **{**given, "max_results": 1})
    )
    second = search.tracker()
    second.start([])
    for number in range(3):
        second.trial_started(number, {}, None)
    closed(second)
    monkeypatch.undo()
    client = MlflowClient(search.store.uri)
    assert len(client.search_runs([second.experiment_id])) == 4, "every child was found again"
    assert [step for step, _, _ in search.curve(search.runs()["2"], "m99")] == list(range(1, 22))


def test_a_deleted_experiment_is_brought_back(search: Search) -> None:
    closed_once = search.tracker()
    closed_once.start([])
    closed(closed_once)
    client = MlflowClient(search.store.uri)
    client.delete_experiment(closed_once.experiment_id)
    again = search.tracker()
    again.start([])
    closed(again)
    assert client.get_experiment(again.experiment_id).lifecycle_stage == "active"
    assert again.experiment_id == closed_once.experiment_id


def test_a_renamed_experiment_is_still_the_study_s(search: Search) -> None:
    first = search.tracker()
    first.start([])
    search.begin(first)
    search.end(first, 0, "error", None, "x")
    closed(first)
    client = MlflowClient(search.store.uri)
    client.rename_experiment(first.experiment_id, "my best work")
    again = search.tracker()
    again.start(search.ledger.trials())
    closed(again)
    assert again.experiment_id == first.experiment_id and client.get_experiment_by_name("small") is None
    assert len(client.search_runs([first.experiment_id])) == 2


def test_a_job_that_fails_is_noted_and_the_next_ones_are_done(search: Search) -> None:
    tracker = search.tracker()
    tracker.start([])
    tracker.trial_ended(7, "finished", None, "")  # never begun
    search.begin(tracker)
    search.end(tracker, 0, "error", None, "x")
    assert not tracker.close("FINISHED", {}, "done")
    assert tracker.errors == ["KeyError: 7"]
    assert search.runs()["0"].info.status == "FAILED" and search.runs()["study"].info.status == "FINISHED"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("sqlite:////studies/mlflow.db", "sqlite:////studies/mlflow.db"),
        ("https://ann:secret@host:5000/path?token=x#y", "https://host:5000/path"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_an_address_is_shown_without_secrets(uri: str, shown: str) -> None:
    assert TrackingStore(uri, None).shown == shown


def test_where_records_go(tmp_path: Path) -> None:
    assert TrackingStore.under(tmp_path, "http://host") == TrackingStore("http://host", None)
    beside = TrackingStore.under(tmp_path, None)
    assert beside == TrackingStore(f"sqlite:///{tmp_path.resolve()}/mlflow.db", (tmp_path / "mlartifacts").as_uri())
    assert TrackingStore.under(tmp_path, "") == beside


@pytest.mark.slow
def test_a_database_is_made_wherever_the_command_is_typed(tmp_path, monkeypatch):
    """MLflow puts the name of the current folder into SQL as it is."""
    here = tmp_path / 'it\'s "50% done?" #2'
    here.mkdir()
    monkeypatch.chdir(here)
    store = TrackingStore.under(Path("my studies"), None)
    Path("my studies").mkdir()
    create_database(store.uri)
    assert [one.name for one in MlflowClient(store.uri).search_experiments()] == ["Default"]
    assert sorted(path.name for path in here.iterdir()) == ["my studies"]


def test_only_a_database_that_is_not_there_is_made(tmp_path: Path) -> None:
    create_database("http://host:1")
    (tmp_path / "mlflow.db").write_bytes(b"mine")
    create_database(f"sqlite:///{tmp_path}/mlflow.db")
    assert (tmp_path / "mlflow.db").read_bytes() == b"mine" and len(list(tmp_path.iterdir())) == 1
