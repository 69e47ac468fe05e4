"""The MLflow store: where it is, its experiment, its tags and status words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from filelock import FileLock

from mer.files import atomic_path

STATUS = {"finished": "FINISHED", "cut": "KILLED", "nonfinite": "FAILED", "error": "FAILED", "interrupted": "KILLED"}
TAG_TRIAL, TAG_OUTCOME, TAG_GENERATION, TAG_STUDY = "mer.trial", "mer.outcome", "mer.generation", "mer.study"
DATABASE, FILES = "mlflow.db", "mlartifacts"  # in the folder of all studies
PARENT_TAG, NOTE_TAG = "mlflow.parentRunId", "mlflow.note.content"


@dataclass(frozen=True)
class TrackingStore:
    """Where MLflow keeps records and files. `artifacts` is None when a server decides."""

    uri: str
    artifacts: str | None

    @property
    def shown(self) -> str:
        """Return the address as it may be printed and stored: without user, password and query."""
        parts = urlsplit(self.uri)
        if not parts.netloc:
            return self.uri
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    @classmethod
    def under(cls, studies: Path, uri: str | None) -> TrackingStore:
        """Return the store that `MLFLOW_TRACKING_URI` names, else SQLite in the studies folder."""
        if uri:
            return cls(uri, None)
        folder = studies.resolve()
        return cls(f"sqlite:///{folder}/{DATABASE}", (folder / FILES).as_uri())


class Child(NamedTuple):
    """A trial's run: its id, MLflow's status word, and our outcome ("" while it has none)."""

    run_id: str
    status: str
    outcome: str


def children(client: Any, experiment_id: str, parent: str) -> dict[int, Child]:
    """Find the runs of a study's trials, by trial number.

    MLflow's search loads every run with all its metrics, parameters and tags, milliseconds each. Of its SQL store only
    what is asked for is read.

    Args:
        client: an MlflowClient.
        parent: id of the study's run.
    """
    store = getattr(getattr(client, "_tracking_client", None), "store", None)
    if (sessions := getattr(store, "ManagedSessionMaker", None)) is not None:
        return _children_in_sql(sessions, parent)
    found, token = {}, None
    while True:
        page = client.search_runs(
            [experiment_id], f"tags.`{PARENT_TAG}` = '{parent}'", max_results=1000, page_token=token
        )
        for run in page:
            outcome = run.data.tags.get(TAG_OUTCOME, "")
            found[int(run.data.tags[TAG_TRIAL])] = Child(run.info.run_id, run.info.status, outcome)
        if not (token := page.token):
            return found


def _children_in_sql(sessions: Any, parent: str) -> dict[int, Child]:
    from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag

    with sessions(read_only=True) as session:
        mine = session.query(SqlTag.run_uuid).filter(SqlTag.key == PARENT_TAG, SqlTag.value == parent)
        active = SqlRun.run_uuid.in_(mine), SqlRun.lifecycle_stage == "active"
        statuses = dict(session.query(SqlRun.run_uuid, SqlRun.status).filter(*active).all())

        def tag(key: str) -> dict[str, str]:
            asked = session.query(SqlTag.run_uuid, SqlTag.value).filter(SqlTag.key == key, SqlTag.run_uuid.in_(mine))
            return dict(asked.all())

        numbers, outcomes = tag(TAG_TRIAL), tag(TAG_OUTCOME)
    return {int(numbers[run]): Child(run, status, outcomes.get(run, "")) for run, status in statuses.items()}


def create_database(uri: str) -> None:
    """Make a new SQLite store whole or not at all: a driver killed inside MLflow's migrations would leave a database
    that never opens again."""
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or path.exists():
        return
    from mlflow import MlflowClient

    with FileLock(path.with_name(f".{path.name}.lock")):
        if path.exists():  # another study's driver made it meanwhile
            return
        with atomic_path(path) as temporary:
            MlflowClient(f"sqlite:///{temporary}").search_experiments(max_results=1)


def metric_name(key: str) -> str:
    """Write a metric's name as MLflow takes it: of a class with other characters than letters, digits and - . : these
    become underscores, "dev_f1_joy (strong)" -> "dev_f1_joy _strong_"."""
    return re.sub(r"[^\w.\- :]", "_", key)
