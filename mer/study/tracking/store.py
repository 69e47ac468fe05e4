"""The MLflow store: where it is, its tags and status words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from mer.files import atomic_path
from mer.locks import acquire

STATUS = {
    "running": "RUNNING",
    "finished": "FINISHED",
    "cut": "FINISHED",  # stopped by the study's own rule: TAG_OUTCOME says so; red is for what went wrong
    "nonfinite": "FAILED",
    "error": "FAILED",
    "interrupted": "KILLED",
}
TAG_TRIAL, TAG_OUTCOME, TAG_GENERATION, TAG_STUDY = "mer.trial", "mer.outcome", "mer.generation", "mer.study"
TAG_DIGEST = "mer.digest"  # of all that the run must hold; written last, so it proves that the rest is in
TAG_ASKED = "mer.asked"  # of the experiment: what was written last to see whether the store takes anything
STUDY = "study"  # what TAG_TRIAL says of the study's own run
DATABASE, FILES = "mlflow.db", "mlartifacts"  # in the folder of all studies
_SQLITE = "sqlite:///"
PARENT_TAG, NOTE_TAG, NAME_TAG = "mlflow.parentRunId", "mlflow.note.content", "mlflow.runName"


_NAMED_BY, _INSTEAD = "MLFLOW_TRACKING_URI", "unset MLFLOW_TRACKING_URI"


@dataclass(frozen=True)
class TrackingStore:
    """Where MLflow keeps records and files.

    Args:
        artifacts: where files go; None when a server decides.
        named_by: who says that it is this store, for messages.
        instead: the command after which a study is recorded in its folder of studies.
    """

    uri: str
    artifacts: str | None
    named_by: str = field(default=_NAMED_BY, compare=False)
    instead: str = field(default=_INSTEAD, compare=False)

    @property
    def shown(self) -> str:
        """Return the address as it may be printed and stored: without user, password and query."""
        parts = urlsplit(self.uri)
        if not parts.netloc:
            return self.uri
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    @property
    def database(self) -> Path | None:
        """The file of an SQLite store; None for any other."""
        path = self.uri.removeprefix(_SQLITE)
        return None if path == self.uri else Path(unquote(path.partition("?")[0]))

    def redact(self, text: str) -> str:
        """Take user, password and query of the address out of a text that a library wrote."""
        parts = urlsplit(self.uri)
        text = text.replace(self.uri, self.shown)
        password = parts.password or ""
        for secret in (
            parts.netloc.rpartition("@")[0],
            password,
            unquote(password),
            parts.query if parts.netloc else "",
        ):
            text = text.replace(secret, "...") if secret else text
        return text

    def words(self, fault: BaseException) -> str:
        """Say in one line, without secrets, what a library refused."""
        return self.redact(str(fault)).strip().partition("\n")[0] or type(fault).__name__

    @classmethod
    def under(cls, studies: Path, uri: str | None, *, named_by: str = _NAMED_BY, instead: str = "") -> TrackingStore:
        """Return the store that `uri` names, else SQLite in the studies folder; that one also by its own address."""
        folder = studies.resolve()
        beside = sqlite_uri(folder / DATABASE)
        if uri and uri != beside:
            return cls(uri, None, named_by, instead or _INSTEAD)
        return cls(beside, (folder / FILES).as_uri())


def sqlite_uri(path: Path) -> str:
    """Write the address of a database file. SQLAlchemy takes a `?` for a query, and `%3F` for a `?`."""
    return _SQLITE + str(path).replace("%", "%25").replace("?", "%3F")


def create_database(uri: str) -> None:
    """Make a new SQLite store whole or not at all.

    A driver killed inside MLflow's migrations would leave a database that never opens again. MLflow's own experiment,
    "Default", keeps its files beside ours: MLflow would write the name of the current folder into SQL as it is, and
    fail where that has an apostrophe.
    """
    path = TrackingStore(uri, None).database
    if path is None or path.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with acquire(path.with_name(f".{path.name}.lock")):
        if path.exists():  # another study's driver made it meanwhile
            return
        with atomic_path(path) as temporary:
            SqlAlchemyStore(sqlite_uri(temporary), (path.parent / FILES).absolute().as_uri())


def metric_name(key: str) -> str:
    """Write a metric's name as MLflow takes it: of a class with other characters than letters, digits and - . : these
    become underscores, "dev_f1_joy (strong)" -> "dev_f1_joy _strong_"."""
    return re.sub(r"[^\w.\- :]", "_", key)
