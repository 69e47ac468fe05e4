"""What a person did to the record in MLflow: runs that were deleted stay so, values that were changed come back."""

from __future__ import annotations

import copy
import gc
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_runs import FakeMLflow, FakeRun
from recorded_study import Search, content
from tiers import slow_except

from mer.study.paths import OUTBOX, trial_folder
from mer.study.tracking import patience, sync, writer
from mer.study.tracking.content import Content
from mer.study.tracking.from_disk import StudyOnDisk
from mer.study.tracking.held import Held, missing

AWAY = OSError("nobody answers")
NEVER = "which MLflow never changes"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_GATHER_S", 0.01)
    monkeypatch.setattr(patience, "PAUSES_S", (0.01,) * 7)


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(tmp_path)


def run_of(mlflow: FakeMLflow, trial: str) -> FakeRun:
    (run,) = mlflow.trials()[trial]
    return run


@pytest.mark.parametrize("how", ["resume", "sync"])
def test_a_deleted_run_of_an_older_study_stays_deleted(search: Search, how: str) -> None:
    """Its runs have no digests, and its folder no note of them."""
    mlflow = FakeMLflow()
    search.run(mlflow)
    for run in mlflow.runs.values():
        run.tags.pop("mer.digest", None)
    (search.folder / OUTBOX).unlink()
    for trial in ("0", "2"):
        run_of(mlflow, trial).deleted = True
    if how == "resume":
        search.resume(mlflow)
        assert not search.behind
    assert search.sync(mlflow).left == {}
    assert set(mlflow.trials()) == {"1", "3", "study"} and len(mlflow.runs) == 5 and search.words(mlflow) == []


def test_a_deleted_run_stays_deleted_when_a_picture_of_its_trial_is_drawn(search: Search) -> None:
    mlflow = FakeMLflow()
    search.run(mlflow)
    (trial_folder(search.folder, 0) / "artifacts/confusion.svg").unlink()
    run_of(mlflow, "0").deleted = True
    search.resume(mlflow)
    assert (trial_folder(search.folder, 0) / "artifacts/confusion.svg").exists() and not search.behind
    assert search.sync(mlflow).written == {} and set(mlflow.trials()) == {"1", "2", "3", "study"}
    assert len(mlflow.runs) == 5


def test_a_deleted_run_whose_trial_has_no_tables_stays_deleted(search: Search) -> None:
    mlflow = FakeMLflow()
    search.run(mlflow)
    run_of(mlflow, "0").deleted = True
    (trial_folder(search.folder, 0) / "artifacts/dev_predictions.csv").unlink()
    search.sync(mlflow)
    assert "0" not in mlflow.trials()


def test_a_changed_parameter_is_said_and_a_new_run_takes_the_place_of_the_old_one(search: Search) -> None:
    mlflow = FakeMLflow()
    search.run(mlflow)
    before, run = copy.deepcopy(content(mlflow)), run_of(mlflow, "0")
    run.params["optim.head_lr"] = "7"
    run.tags |= {"mine": "keep", "mlflow.note.content": "a good one", "mlflow.runName": "my best"}
    assert search.words(mlflow) == [
        f"1 parameters other than on disk, {NEVER}: optim.head_lr; a new run takes the place of this one"
    ]
    assert search.sync(mlflow).written == {}, "its digest is right; every value is compared when that is asked for"
    done = search.sync(mlflow, thorough=True)
    assert list(done.written) == [0] and search.words(mlflow) == [] and run.deleted
    new = run_of(mlflow, "0")
    assert new is not run and new.name == "my best" and new.params["optim.head_lr"] != "7"
    assert (new.tags.pop("mine"), new.tags.pop("mlflow.note.content")) == ("keep", "a good one")
    assert content(mlflow) == before
    assert search.sync(mlflow, thorough=True).written == {} and len(mlflow.runs) == 6


@pytest.mark.parametrize("after", slow_except([False, True], True))
def test_a_replacement_that_is_broken_off_anywhere_ends_with_one_right_run(tmp_path: Path, after: bool) -> None:
    for dies in range(1, 40):
        (place := tmp_path / str(dies)).mkdir()
        search, mlflow = Search(place), FakeMLflow()
        search.run(mlflow)
        run_of(mlflow, "0").params["optim.head_lr"] = "7"
        first, reached = len(mlflow.calls), []

        def fault(name: str, count: int, first: int = first, dies: int = dies, reached: Any = reached) -> Any:
            if count < first + dies:
                return None
            reached.append(name)
            if count == first + dies and after:
                return AWAY
            raise AWAY

        mlflow.fault = fault
        try:
            search.sync(mlflow, thorough=True)
        except Exception as fault_:
            assert "nobody answers" in str(fault_)
        mlflow.fault = lambda name, count: None
        search.sync(mlflow, thorough=True)
        assert search.words(mlflow) == [] and run_of(mlflow, "0").params["optim.head_lr"] != "7", dies
        assert "RUNNING" not in {run.status for run in mlflow.runs.values()}
        if not reached:
            return
    raise AssertionError("more calls than that")


def test_a_parameter_that_a_server_has_cut_is_no_other_one(search: Search) -> None:
    mlflow = FakeMLflow()
    search.run(mlflow)
    run, long = run_of(mlflow, "0"), "x" * 600
    must = replace(StudyOnDisk.read(search.folder).content(0), params={"optim.head_lr": long})
    for there, others in ((long, {}), (long[:250], {}), (long[:20], {"optim.head_lr": long[:20]})):
        held = Held("FINISHED", {"optim.head_lr": there, "mine": "1"}, run.tags, run.points, run.files)
        assert missing(must, held).others == others and not missing(must, held).params


def test_a_sync_of_any_length_holds_few_trials_at_once(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    search.run(FakeMLflow())
    living: weakref.WeakSet[Content] = weakref.WeakSet()
    most, usual = [0], StudyOnDisk.content

    class Counted(Content):
        __hash__ = object.__hash__  # type: ignore[assignment]

    def counted(self: StudyOnDisk, number: int) -> Content:
        made = Counted(**vars(usual(self, number)))
        living.add(made)
        gc.collect()
        most[0] = max(most[0], len(living))
        return made

    monkeypatch.setattr(StudyOnDisk, "content", counted)
    monkeypatch.setattr(sync, "_AT_ONCE", 1)
    mlflow = FakeMLflow()
    gc.freeze()  # what other tests have left is not gone through at each collection
    try:
        assert len(search.sync(mlflow).written) == 4 and search.words(mlflow) == []
    finally:
        gc.unfreeze()
    assert most[0] <= 2, "the one that is read, and the one before it"
