"""What a tracker makes of the record that an earlier driver left: it goes on with it, and mends what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable

from mlflow import MlflowClient
from study_helpers import open_ledger
from tracker_lab import ENVIRONMENT, Search, closed, die, rows_of, search

from mer.study.paths import trial_folder
from mer.study.tracking.tracker import Tracker

__all__ = ["search"]


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
