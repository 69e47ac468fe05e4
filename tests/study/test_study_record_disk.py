"""What a disk refuses of a trial's files is known to be missing in MLflow, and comes there with the next command."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from fake_runs import FakeMLflow
from recorded_study import Search, content
from study_helpers import row

from mer import files
from mer.study.folder.recorded import read_history
from mer.study.paths import trial_folder
from mer.study.tracking import trial_files
from mer.study.tracking.outbox import Outbox
from mer.training.member import identity_of
from trainables.trial_files import state_files


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(tmp_path)


@pytest.mark.parametrize("noted", [False, True], ids=["note refused", "note written"])
def test_a_picture_whose_drawing_the_disk_refused_half_way_comes_to_mlflow(
    search: Search, monkeypatch: pytest.MonkeyPatch, noted: bool
) -> None:
    """As seed 6801 of the simulated world: the picture lies there, its folder could not be flushed, nobody was told."""
    usual, flush = Outbox.foretell, files.fsync_folder

    def full(self: Outbox, trial: str) -> None:
        if noted:
            return usual(self, trial)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", refuse)
            return usual(self, trial)

    def refuse(self: Path, *_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    def unflushed(folder: Path) -> None:
        if (folder / "confusion.svg").exists():
            raise OSError(errno.EIO, "Input/output error", str(folder))
        flush(folder)

    mlflow = FakeMLflow()
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "foretell", full)
        patch.setattr(files, "fsync_folder", unflushed)
        search.run(mlflow, refused=1)
    assert "confusion.svg" not in mlflow.trials()["0"][0].files
    tracker = search.resume(mlflow)
    assert tracker.errors == [] and not search.behind
    assert "confusion.svg" in mlflow.trials()["0"][0].files and search.words(mlflow) == []
    (undisturbed := search.folder.parent.parent / "twin").mkdir()
    twin, there = Search(undisturbed), FakeMLflow()
    twin.run(there)
    assert content(there) == content(mlflow)


def test_a_refused_note_keeps_the_picture_from_being_drawn(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Outbox, trial: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "foretell", full)
        search.run(FakeMLflow(), refused=1)
    assert not (trial_folder(search.folder, 0) / "artifacts/confusion.svg").exists()


def test_a_trial_that_ended_unheard_by_mlflow_is_not_taken_for_its_interrupted_self(search: Search) -> None:
    """It went on, ended while MLflow was away, and no note of that could be written: its run is proven, and is old."""
    mlflow = FakeMLflow()
    search.run(mlflow)
    assert mlflow.trials()["3"][0].tags["mer.outcome"] == "interrupted"
    search.ledger.end(3, "error", best=None, reason="out of luck")
    (trial_folder(search.folder, 3) / "artifacts/history.csv").write_text("epoch\n", encoding="utf-8")
    for name in ("best.safetensors", "last.safetensors"):
        (trial_folder(search.folder, 3) / name).unlink()
    search.resume(mlflow)
    assert mlflow.trials()["3"][0].tags["mer.outcome"] == "error" and search.words(mlflow) == []


@pytest.mark.parametrize("fault", [ValueError("damaged weights"), OSError(errno.ENOSPC, "No space left on device")])
def test_a_trial_whose_tables_cannot_be_made_is_closed_and_its_study_is_not_proven(
    search: Search, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """By the driver that ends it, and by one that finds it so."""
    usual, mlflow = trial_files.write_artifacts, FakeMLflow()

    def refuse(folder: Path, **how: Any) -> Path:
        if folder.name == "00001":
            raise fault
        return usual(folder, **how)

    with monkeypatch.context() as patch:
        patch.setattr(trial_files, "write_artifacts", refuse)
        search.run(mlflow, refused=1)
        for _ in range(2):
            (run,), (study,) = mlflow.trials()["1"], mlflow.trials()["study"]
            assert (run.status, run.tags["mer.outcome"]) == ("FINISHED", "cut") and run.params
            assert study.status == "KILLED" and not study.tags.get("mer.digest")
            run.status, run.tags["mer.digest"] = "RUNNING", ""  # as its driver would have left it, had it been killed
            assert len(search.resume(mlflow).errors) == 1
    assert search.resume(mlflow).errors == [] and not search.behind
    assert mlflow.trials()["study"][0].tags["mer.digest"] and search.words(mlflow) == []
    assert "history.csv" in mlflow.trials()["1"][0].files


def test_an_older_checkpoint_that_was_not_removed_takes_no_epoch_from_a_trial(search: Search) -> None:
    """As seed 4258: the driver died between the tables, and a disk kept the checkpoint before the last one."""
    place = trial_folder(search.folder, 0)
    rows = [row(epoch, 0.1 * epoch, seconds=1.0) for epoch in range(1, 4)]
    config = search.spec.trial_config({})
    search.folder.joinpath("trials").mkdir(exist_ok=True)
    search.worker_saves(0, rows[:2], identity_of(config))
    last = place / "last.safetensors"
    last.rename(last.with_name("last.safetensors.previous"))
    (place / "artifacts").mkdir()
    lines = ["epoch,dev_weighted_f1", *(f"{one['epoch']},{one['dev_weighted_f1']}" for one in rows)]
    (place / "artifacts/history.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert [one["epoch"] for one in read_history(place, config)] == [1, 2, 3]
    (place / "artifacts/history.csv").write_text("epoch\nmuch\n", encoding="utf-8")
    assert [one["epoch"] for one in read_history(place, config)] == [1, 2], "what is sound counts"
    assert state_files(place)[-1] == last, "removed last"
