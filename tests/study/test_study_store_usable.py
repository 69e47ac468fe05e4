"""A store that MLflow could not record in is refused before anything is trained (case M)."""

from __future__ import annotations

import shlex
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mer.errors import MerError
from mer.study.tracking.store import TrackingStore, create_database
from mer.study.tracking.usable import _schemas, refuse_unusable


def refused(uri: str) -> str:
    with pytest.raises(MerError) as caught:
        refuse_unusable(TrackingStore(uri, None))
    return str(caught.value)


def database(path: Path, schema: str) -> Path:
    with sqlite3.connect(path) as connection:
        connection.execute("create table alembic_version (version_num varchar)")
        connection.execute("insert into alembic_version values (?)", (schema,))
    connection.close()
    return path


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("scheme", ["http", "postgresql+psycopg2"])
def test_a_server_that_nobody_answers_for_is_said_within_seconds(scheme: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    words = refused(f"{scheme}://me:secret@127.0.0.1:{port}/mlflow")
    assert time.monotonic() - started < 5 and "secret" not in words
    assert words.startswith(f"MLFLOW_TRACKING_URI: nobody answers at {scheme}://127.0.0.1:{port}/mlflow: ")
    assert words.endswith("next: start the server, or type: unset MLFLOW_TRACKING_URI")


def test_a_server_behind_a_proxy_and_other_kinds_of_store_are_left_to_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    refuse_unusable(TrackingStore("http://mlflow.invalid", None))
    refuse_unusable(TrackingStore("databricks", None))


def test_a_folder_and_a_text_file_are_no_database_and_the_advice_mends_it(tmp_path: Path) -> None:
    folder, text = tmp_path / "a b.db", tmp_path / "text.db"
    folder.mkdir()
    text.write_text("not a database, and long enough to have a header")
    for path, words in ((folder, "is a folder"), (text, "is no SQLite database")):
        said = refused(f"sqlite:///{path}")
        assert said.startswith(f"{path}: {words}")
        subprocess.run(shlex.split(said.rpartition("in a new one: ")[2]), check=True)
        refuse_unusable(TrackingStore(f"sqlite:///{path}", None))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a b.db.old", "text.db.old"]


def test_another_schema_is_refused_with_what_mends_it(tmp_path: Path) -> None:
    known, newest = _schemas()
    assert newest is not None and len(known) > 60
    refuse_unusable(TrackingStore(f"sqlite:///{database(tmp_path / 'today.db', newest)}", None))
    older = refused(f"sqlite:///{database(tmp_path / 'older.db', 'bd07f7e963c5')}")
    assert "has the schema of an older MLflow (bd07f7e963c5)" in older and f"allowed: {newest}" in older
    assert "python -m mlflow db upgrade sqlite:///" in older
    newer = refused(f"sqlite:///{database(tmp_path / 'newer.db', 'ffffffffffff')}")
    assert "has the schema of a newer MLflow than this one (ffffffffffff)" in newer and "upgrade" not in newer


def test_a_place_where_no_database_can_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is no folder to write in" in refused(f"sqlite:///{tmp_path}/file/mlflow.db")
    refuse_unusable(TrackingStore(f"sqlite:///{tmp_path}/not/yet/mlflow.db", None))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_the_upgrade_of_an_older_database_works_as_typed(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    make = (
        "import sys; from alembic import command; from sqlalchemy import create_engine\n"
        "from mlflow.store.db.utils import _get_alembic_config\n"
        "from mlflow.store.tracking.dbmodels.initial_models import Base\n"
        "Base.metadata.create_all(create_engine(sys.argv[1]))\n"
        "command.upgrade(_get_alembic_config(sys.argv[1]), 'bd07f7e963c5')\n"
    )
    subprocess.run([sys.executable, "-c", make, f"sqlite:///{path}"], check=True, capture_output=True)
    typed = refused(f"sqlite:///{path}").partition("next: ")[2].partition("; if that fails")[0]
    typed = typed.replace("python -m", f"{sys.executable} -m")
    subprocess.run(["bash", "-c", typed], check=True, capture_output=True)
    refuse_unusable(TrackingStore(f"sqlite:///{path}", None))
    assert (tmp_path / "mlflow.db.bak").is_file()


@pytest.mark.slow
def test_mlflow_agrees_on_its_own_schema(tmp_path: Path) -> None:
    create_database(f"sqlite:///{tmp_path / 'mlflow.db'}")
    refuse_unusable(TrackingStore(f"sqlite:///{tmp_path / 'mlflow.db'}", None))
