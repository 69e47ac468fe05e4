"""`python -m mer.study sync`: what it says and does, and when it ends with an error."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_runs import FakeMLflow, FakeRuns
from recorded_study import Search
from study_helpers import open_ledger

from mer.errors import MerError
from mer.study.audit import command as audit_command
from mer.study.audit.command import audit
from mer.study.folder.lock import study_lock
from mer.study.paths import OUTBOX, trial_folder
from mer.study.tracking import command
from mer.study.tracking.command import sync_command
from mer.study.tracking.copied import original_of
from mer.study.tracking.from_disk import StudyOnDisk
from mer.study.tracking.store import TrackingStore
from mer.study.tracking.study_runs import StudyRuns

SERVER = "http://ann:secret@host:1/"


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMLflow]:
    """An MLflow that the command finds at MLFLOW_TRACKING_URI."""
    there = FakeMLflow()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    monkeypatch.setattr(command, "refuse_unusable", lambda *_, **__: None)
    monkeypatch.setattr(StudyRuns, "open", lambda where, study, generation, *_: FakeRuns(there, generation))
    yield there


@pytest.fixture
def search(tmp_path: Path) -> Search:
    """A study that ran while MLflow was another one: nothing of it is in `mlflow`."""
    made = Search(tmp_path)
    made.run(FakeMLflow())
    return made


def sync(search: Search, **how: Any) -> None:
    sync_command("small", search.folder.parent, **{"thorough": False, **how})


def test_it_says_what_it_writes_and_then_that_nothing_is_missing(
    search: Search, mlflow: FakeMLflow, capsys: pytest.CaptureFixture[str]
) -> None:
    sync(search)
    assert capsys.readouterr().out == "".join(f"trial {n}: it has no run: written\n" for n in range(4)) + (
        "4 of 4 trials are in http://host:1/, 4 written now\n"
    )
    (run,) = mlflow.trials()["1"]
    run.tags["mer.outcome"] = "error"
    sync(search)
    assert capsys.readouterr().out == "4 of 4 trials are in http://host:1/, 0 written now\n", "digests are right"
    sync(search, thorough=True)
    assert capsys.readouterr().out == (
        "trial 1: 1 tags missing or other than on disk: mer.outcome: written\n"
        "4 of 4 trials are in http://host:1/, 1 written now\n"
    )
    assert run.tags["mer.outcome"] == "cut"


def test_trials_whose_tables_are_not_made_end_it_with_an_error(search: Search, mlflow: FakeMLflow) -> None:
    (trial_folder(search.folder, 0) / "artifacts/dev_predictions.csv").unlink()
    with pytest.raises(MerError) as caught:
        sync(search)
    assert str(caught.value) == (
        "http://host:1/: 1 of 4 trials are not in it (0): its tables are not made yet: --resume makes them\n"
        "  next: mend the cause, then type the same command again"
    )


def test_a_store_that_is_away_is_one_message(search: Search, mlflow: FakeMLflow) -> None:
    from mlflow.exceptions import MlflowException

    def away(name: str, count: int) -> None:
        raise MlflowException(f"API request to {SERVER}api failed with exception\nand more")

    mlflow.fault = away
    with pytest.raises(MerError) as caught:
        sync(search)
    assert str(caught.value) == (
        "http://host:1/: MLflow does not take records just now: "
        "API request to http://host:1/api failed with exception\n"
        f"  next: when it does, type again: python -m mer.study sync {search.folder}"
    )


def test_a_copy_of_an_older_study_is_told_from_it_by_when_it_was_written(search: Search, mlflow: FakeMLflow) -> None:
    """Older versions noted no place."""
    (search.folder / OUTBOX).unlink()
    studies, server = search.folder.parent, TrackingStore(SERVER, None)
    for copy in (studies.parent / "copy", studies.parent / "backup/studies"):
        shutil.copytree(studies, copy)
        assert original_of(copy / "small", server) == search.folder and original_of(search.folder, server) is None
        with pytest.raises(MerError, match=f"is a copy of {search.folder}"):
            sync_command("small", copy, thorough=False)
        assert mlflow.runs == {}
        shutil.rmtree(copy)
    another = Search(studies.parent / "another")
    shutil.copytree(another.folder, studies.parent / "others/small")
    assert original_of(studies.parent / "others/small", server) is None, "another search of that name"
    studies.rename(studies.parent / "moved")
    assert original_of(studies.parent / "moved/small", server) is None


class ClientError(Exception):
    """As clients of files raise it (botocore): no kind that MLflow or we know."""


@pytest.mark.parametrize("fault", [sqlite3.OperationalError("disk I/O error"), ClientError("AccessDenied"), OSError(5)])
@pytest.mark.parametrize("call", ["find", "held", "upload", "create"])
def test_whatever_a_store_raises_is_one_message(
    search: Search, mlflow: FakeMLflow, call: str, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    if call == "held":
        sync(search)

    def refuse(name: str, count: int) -> None:
        if name in (call, "probe"):
            raise fault

    mlflow.fault = refuse
    with pytest.raises(MerError) as caught:
        sync(search, thorough=True)
    words = str(caught.value)
    assert str(fault) in words and words.startswith("http://host:1/: MLflow does not take records just now: ")
    assert f"type again: python -m mer.study sync {search.folder}" in words
    monkeypatch.setattr(StudyRuns, "look", lambda where, study, generation, *_, **__: FakeRuns(mlflow, generation))
    monkeypatch.setattr(audit_command, "refuse_unusable", lambda *_, **__: None)
    if call in ("find", "held"):
        findings = [one.line for one in audit(StudyOnDisk.read(search.folder), thorough=True)]
        assert findings == [f"MLflow: http://host:1/: it does not answer: {fault}. Next: type the same again"]


def test_a_study_that_runs_is_left_to_its_driver(search: Search, mlflow: FakeMLflow) -> None:
    with study_lock(search.folder.parent, "small"), pytest.raises(MerError, match="a live driver works on this study"):
        sync(search)
    assert mlflow.calls == []


def test_a_copy_of_a_study_on_a_server_writes_nothing_into_its_original(search: Search, mlflow: FakeMLflow) -> None:
    sync(search)
    before = {key: run.content() for key, run in mlflow.runs.items()}
    studies = search.folder.parent.parent / "copy"
    shutil.copytree(search.folder.parent, studies)
    folder, server = studies / "small", TrackingStore(SERVER, None)
    assert original_of(folder, server) == search.folder
    assert original_of(search.folder, server) is None
    assert original_of(folder, TrackingStore.under(studies, None)) is None, "its database was copied too"
    with pytest.raises(MerError, match=f"is a copy of {search.folder}, whose runs are in http://host:1/"):
        sync_command("small", studies, thorough=False)
    ledger = open_ledger(folder, search.spec)
    ledger.part_from_original()
    search.folder, search.ledger = folder, ledger
    tracker = search.tracker(mlflow)
    tracker.start(ledger.trials())
    assert not tracker.close("FINISHED", {}, "of the copy")
    assert original_of(folder, server) is None, "it is a study by itself now"
    assert {key: run.content() for key, run in mlflow.runs.items() if key in before} == before
    assert len(mlflow.runs) == 10 and search.words(mlflow) == []
    shutil.rmtree(studies.parent / "studies")
    assert original_of(folder, server) is None
