"""The tracker's record in MLflow, on SQLite in this process: runs, rows, endings, what goes wrong on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from study_helpers import row
from tracker_lab import Search, closed, die, rows_of, search

from mer.study.folder.standings import Standing
from mer.study.paths import trial_folder

__all__ = ["search"]


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


def test_a_job_that_fails_is_noted_and_the_next_ones_are_done(search: Search) -> None:
    tracker = search.tracker()
    tracker.start([])
    tracker.trial_ended(7, "finished", None, "")  # never begun
    search.begin(tracker)
    search.end(tracker, 0, "error", None, "x")
    assert not tracker.close("FINISHED", {}, "done")
    assert tracker.errors == ["KeyError: 7"]
    assert search.runs()["0"].info.status == "FAILED" and search.runs()["study"].info.status == "FINISHED"
