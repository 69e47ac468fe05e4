"""The MLflow store: where it is, its experiment, its tags and status words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from filelock import FileLock

from mer.files import atomic_path

STATUS = {"finished": "FINISHED", "cut": "KILLED", "nonfinite": "FAILED", "error": "FAILED", "interrupted": "KILLED"}
TAG_TRIAL, TAG_OUTCOME, TAG_GENERATION, TAG_STUDY = "mer.trial", "mer.outcome", "mer.generation", "mer.study"
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
        return cls(f"sqlite:///{folder}/mlflow.db", (folder / "mlartifacts").as_uri())


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
