"""Where MLflow's record lies, how its address is shown, and when a database is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from mer.study.tracking.store import TrackingStore, create_database


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
