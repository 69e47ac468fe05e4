"""Where a study's record is: one answer for every command."""

from __future__ import annotations

import json
import shlex
import sqlite3
import subprocess
from pathlib import Path

import pytest

from mer.errors import MerError
from mer.study.tracking.outbox import Outbox
from mer.study.tracking.recorded_store import is_as_before, store_of
from mer.study.tracking.store import TrackingStore
from mer.study.tracking.usable import refuse_unusable

SERVER, OTHER = "http://127.0.0.1:9", "http://127.0.0.1:10"


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (made := tmp_path / "my studies/small").mkdir(parents=True)
    return made


def summarised(folder: Path, uri: object) -> None:
    (folder / "summary.json").write_text(json.dumps({"mlflow": {"uri": uri}}), encoding="utf-8")


def test_it_is_where_the_last_driver_had_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = TrackingStore.under(folder.parent, None)
    assert store_of(folder) == store_of(folder.parent / "none yet") == beside and not is_as_before(beside)
    for garbage in (None, 5, "sqlite:////elsewhere/mlflow.db"):  # the last: a copied study, not its original's store
        summarised(folder, garbage)
        assert store_of(folder) == beside
    summarised(folder, SERVER)
    assert store_of(folder) == TrackingStore(SERVER, None) and is_as_before(store_of(folder)), "of an older version"
    Outbox(folder).begin(folder, "abc", OTHER)
    assert store_of(folder).uri == OTHER, "a driver that was killed before it wrote a summary"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    assert store_of(folder).uri == SERVER and not is_as_before(store_of(folder))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", beside.uri)
    assert store_of(folder) == beside, "with its places of files"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    Outbox(folder).begin(folder, "abc", beside.shown)
    assert store_of(folder) == beside


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_server_that_is_gone_for_good_is_left_by_the_command_that_is_printed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, by_variable: bool
) -> None:
    Outbox(folder).begin(folder, "abc", SERVER)
    if by_variable:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    with pytest.raises(MerError) as caught:
        refuse_unusable(store_of(folder))
    where = "MLFLOW_TRACKING_URI" if by_variable else f"{folder}, recorded there"
    assert caught.value.message.startswith(f"{where}: nobody answers at {SERVER}: ")
    typed = caught.value.then.partition("or type: ")[2]
    done = subprocess.run(
        ["bash", "-c", f'{typed} && printf %s "$MLFLOW_TRACKING_URI"'], capture_output=True, text=True, check=True
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", done.stdout)
    assert store_of(folder) == TrackingStore.under(folder.parent, None)
    refuse_unusable(store_of(folder))


@pytest.mark.parametrize("how", ["folder", "full"])
def test_a_database_that_takes_nothing_is_refused_before_training(
    folder: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, store = folder.parent / "mlflow.db", TrackingStore.under(folder.parent, None)
    with sqlite3.connect(path) as database:
        database.execute("create table t (x)")
    database.close()
    before = path.read_bytes()
    refuse_unusable(store)
    assert path.read_bytes() == before and len(list(folder.parent.iterdir())) == 2
    if how == "folder":  # SQLite cannot write its journal there
        (folder.parent / "mlflow.db-journal").mkdir()
        words = "disk I/O error|unable to open"
    else:
        usual = sqlite3.connect

        class Full(sqlite3.Connection):
            def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:  # type: ignore[override]
                if sql.startswith("create"):
                    raise sqlite3.OperationalError("database or disk is full")
                return super().execute(sql, *parameters)

        monkeypatch.setattr(sqlite3, "connect", lambda *args, **given: usual(*args, factory=Full, **given))
        words = "database or disk is full"
    with pytest.raises(MerError, match=f"takes no records: ({words})") as caught:
        refuse_unusable(store)
    assert shlex.quote(str(folder.parent)) in caught.value.then
    if how == "full":
        refuse_unusable(store, to_read=True)


def test_one_that_somebody_writes_to_just_now_is_no_such_one(folder: Path) -> None:
    path = folder.parent / "mlflow.db"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("create table t (x)")
    writer.execute("begin immediate")
    refuse_unusable(TrackingStore.under(folder.parent, None))
    writer.execute("rollback")
    writer.close()
