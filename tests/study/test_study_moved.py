"""The places that MLflow's database records follow a folder of studies that was moved or copied (case L)."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mer.errors import MerError
from mer.study.audit.examine import in_mlflow
from mer.study.folder.lock import nobody_at_work, study_lock
from mer.study.tracking.content import StudyIdentity
from mer.study.tracking.from_disk import StudyOnDisk
from mer.study.tracking.moved import follow_the_folder
from mer.study.tracking.store import TrackingStore
from mer.study.tracking.study_runs import StudyRuns

TABLES = {"experiments": "artifact_location", "runs": "artifact_uri", "logged_models": "artifact_location"}


def store_of(studies: Path) -> TrackingStore:
    return TrackingStore.under(studies, None)


def places(studies: Path) -> dict[str, list[str]]:
    with contextlib.closing(sqlite3.connect(studies / "mlflow.db")) as database:
        return {
            table: [place for (place,) in database.execute(f"select {column} from {table} order by 1")]
            for table, column in TABLES.items()
        }


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """A folder with a study's files, the default experiment, and one that somebody keeps elsewhere."""
    folder = tmp_path / "my studies"
    (folder / "mlartifacts/small/r1").mkdir(parents=True)
    root = (folder / "mlartifacts").as_uri()
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.execute("create table experiments (name, artifact_location)")
        database.execute("create table runs (artifact_uri)")
        database.execute("create table logged_models (artifact_location)")
        for name, place in (
            ("small", f"{root}/small"),
            ("Default", "file:///a/mlruns/0"),
            ("s3", "s3://x/mlartifacts/s3"),
        ):
            database.execute("insert into experiments values (?, ?)", (name, place))
        for run in (f"{root}/small/r1/artifacts", "file:///a/mlruns/0/r2/artifacts"):
            database.execute("insert into runs values (?)", (run,))
        database.execute("insert into logged_models values (?)", (f"{root}/small/models/m1",))
    return folder


def test_nothing_is_touched_where_nothing_has_moved(studies: Path) -> None:
    before = (studies / "mlflow.db").read_bytes()
    assert follow_the_folder(store_of(studies)) == 0
    assert (studies / "mlflow.db").read_bytes() == before


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_a_moved_folder_and_a_copy_have_their_own_places(studies: Path, tmp_path: Path, how) -> None:
    there = tmp_path / "else where" / "studies"
    there.parent.mkdir()
    how(str(studies), str(there))
    assert follow_the_folder(store_of(there)) == 3
    root = (there / "mlartifacts").as_uri()
    assert places(there) == {
        "experiments": sorted([f"{root}/small", "file:///a/mlruns/0", "s3://x/mlartifacts/s3"]),
        "runs": sorted([f"{root}/small/r1/artifacts", "file:///a/mlruns/0/r2/artifacts"]),
        "logged_models": [f"{root}/small/models/m1"],
    }
    assert follow_the_folder(store_of(there)) == 0
    if studies.exists():
        assert places(studies)["runs"][-1].startswith((studies / "mlartifacts").as_uri()), "the original is as it was"


def test_a_second_path_to_the_same_folder_is_no_move(studies: Path, tmp_path: Path) -> None:
    """As on a cluster whose nodes mount it at different places: the database is not rewritten to and fro."""
    before = places(studies)
    moved = tmp_path / "moved"
    studies.rename(moved)
    studies.symlink_to(moved)  # the recorded path leads here still
    assert follow_the_folder(store_of(moved)) == 0
    assert places(moved) == before


@contextlib.contextmanager
def driver(studies: Path, study: str) -> Iterator[int]:
    """A process that holds the lock of a study. Yields: its pid."""
    code = (
        "import sys; from pathlib import Path; from mer.study.folder.lock import study_lock\n"
        "with study_lock(Path(sys.argv[1]), sys.argv[2]): print('holds', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(studies), study], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "holds\n"
        yield process.pid
        process.communicate()


def test_a_folder_that_is_seen_by_another_path_is_left_to_the_driver_that_works_in_it(
    studies: Path, tmp_path: Path
) -> None:
    """As for `mer.ui` on another host, or in a container, that has it mounted elsewhere: the old path is not there."""
    seen = tmp_path / "mounted" / "studies"
    seen.parent.mkdir()
    studies.rename(seen)
    (seen / "small").mkdir()
    before, said = places(seen), list[str]()
    with driver(seen, "small") as pid:
        assert follow_the_folder(store_of(seen), said.append) == 0
        assert places(seen) == before
        (words,) = said
        assert words.startswith(
            f"files of trials are looked for in {studies}/mlartifacts, not here, as long as a live driver works on "
            f"small: pid {pid} on "
        )
        with study_lock(seen, "other"):  # as a driver of another study, which goes on all the same
            assert follow_the_folder(store_of(seen)) == 0
    with study_lock(seen, "small"):
        assert follow_the_folder(store_of(seen)) == 3, "this process's own lock does not count"


def test_an_audit_looks_for_files_where_the_folder_is_now(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a copy it would see the files of its original, of a moved study none."""
    copy = tmp_path / "copy"
    shutil.copytree(studies, copy)
    (copy / "small").mkdir()
    monkeypatch.setattr(StudyRuns, "look", lambda *_, **__: None)
    identity = StudyIdentity("small", "g", ("dev_weighted_f1",))
    disk = StudyOnDisk(copy / "small", identity, "", ())
    with driver(copy, "small"):
        first, _ = in_mlflow(disk, store_of(copy), thorough=False)
        assert first.words.startswith("files of trials are looked for in ") and places(copy) == places(studies)
    (only,) = in_mlflow(disk, store_of(copy), thorough=False)
    assert "has no experiment" in only.words
    assert f"{(copy / 'mlartifacts').as_uri()}/small/r1/artifacts" in places(copy)["runs"]


def test_no_driver_begins_while_places_are_rewritten(studies: Path) -> None:
    (studies / "small").mkdir()
    with study_lock(studies, "small"):
        pass
    (studies / ".mlflow.db.lock").touch()
    with nobody_at_work(studies) as worker:
        assert worker == ""
        with pytest.raises(MerError, match="a live driver works on this study"), study_lock(studies, "small"):
            pass


def test_other_stores_and_databases_without_tables_are_passed_over(tmp_path: Path) -> None:
    assert follow_the_folder(TrackingStore("http://host", None)) == 0
    assert follow_the_folder(store_of(tmp_path)) == 0 and not (tmp_path / "mlflow.db").exists()
    sqlite3.connect(tmp_path / "mlflow.db").close()
    (tmp_path / "mlflow.db").touch()
    assert follow_the_folder(store_of(tmp_path)) == 0
