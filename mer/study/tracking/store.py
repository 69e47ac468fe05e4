"""The MLflow store: where it is, its experiment, its tags and status words, and the runs of a study in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
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


class FoundRun(NamedTuple):
    """A run of a study, as far as its identity goes.

    Args:
        trial: number as text, or `STUDY`.
        status: MLflow's word.
        outcome, digest: ours; "" while it has none.
        deleted: it lies in MLflow's trash.
    """

    run_id: str
    trial: str
    status: str
    outcome: str
    digest: str
    deleted: bool
    start_ms: int


def find_experiment(client: Any, study: str, generation: str) -> Any:
    """Find the experiment that holds a study's runs, also when somebody renamed it; None when there is none.

    Without any runs, it is the one that has the study's name.

    Args: client: an MlflowClient.
    """
    from mlflow.entities import ViewType

    named = client.get_experiment_by_name(study)
    if named is not None and _holder(client, [named.experiment_id], generation):
        return named
    everywhere, token = [], None
    while True:
        page = client.search_experiments(view_type=ViewType.ALL, page_token=token)
        everywhere += [experiment.experiment_id for experiment in page]
        if not (token := page.token):
            break
    holder = _holder(client, everywhere, generation)
    return client.get_experiment(holder) if holder else named


def _holder(client: Any, experiments: list[str], generation: str) -> str:
    """Return which of some experiments holds runs of a study; "" for none."""
    from mlflow.entities import ViewType

    mine = f"tags.`{TAG_GENERATION}` = '{generation}'"
    found = client.search_runs(experiments, mine, ViewType.ALL, max_results=1) if experiments else ()
    return str(found[0].info.experiment_id) if found else ""


def find_runs(client: Any, experiment_id: str, generation: str) -> list[FoundRun]:
    """Find all runs of a study, its own and its trials', deleted ones too.

    MLflow's search loads every run with all its metrics, parameters and tags, milliseconds each. Of its SQL store only
    what is asked for is read.

    Args: client: an MlflowClient.
    """
    store = getattr(getattr(client, "_tracking_client", None), "store", None)
    if (sessions := getattr(store, "ManagedSessionMaker", None)) is not None:
        return _find_in_sql(sessions, experiment_id, generation)
    from mlflow.entities import ViewType

    found, token = [], None
    while True:
        mine = f"tags.`{TAG_GENERATION}` = '{generation}'"
        page = client.search_runs([experiment_id], mine, ViewType.ALL, max_results=1000, page_token=token)
        for run in page:
            info, tags = run.info, run.data.tags
            said = tags.get(TAG_TRIAL, ""), info.status, tags.get(TAG_OUTCOME, ""), tags.get(TAG_DIGEST, "")
            found.append(FoundRun(info.run_id, *said, info.lifecycle_stage == "deleted", info.start_time or 0))
        if not (token := page.token):
            return found


def _find_in_sql(sessions: Any, experiment_id: str, generation: str) -> list[FoundRun]:
    from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag

    with sessions(read_only=True) as session:
        mine = session.query(SqlTag.run_uuid).filter(SqlTag.key == TAG_GENERATION, SqlTag.value == generation)
        here = SqlRun.run_uuid.in_(mine), SqlRun.experiment_id == int(experiment_id)
        runs = session.query(SqlRun.run_uuid, SqlRun.status, SqlRun.lifecycle_stage, SqlRun.start_time).filter(*here)
        infos = runs.all()

        def tag(key: str) -> dict[str, str]:
            asked = session.query(SqlTag.run_uuid, SqlTag.value).filter(SqlTag.key == key, SqlTag.run_uuid.in_(mine))
            return dict(asked.all())

        trials, outcomes, digests = tag(TAG_TRIAL), tag(TAG_OUTCOME), tag(TAG_DIGEST)
    return [
        FoundRun(
            run,
            trials.get(run, ""),
            status,
            outcomes.get(run, ""),
            digests.get(run, ""),
            stage == "deleted",
            start or 0,
        )
        for run, status, stage, start in infos
    ]


def one_for_each(found: Iterable[FoundRun]) -> tuple[dict[str, FoundRun], list[FoundRun]]:
    """Choose one run for each trial, and return the superfluous ones that are not deleted.

    A run that is there is chosen before a deleted one, one that was proven before one that was not, the older before
    the younger. Runs without a trial's tag are somebody else's.
    """
    chosen: dict[str, FoundRun] = {}
    extra = []
    for run in sorted(found, key=lambda run: (run.deleted, not run.digest, run.start_ms, run.run_id)):
        if not run.trial:
            continue
        if chosen.setdefault(run.trial, run) is not run and not run.deleted:
            extra.append(run)
    return chosen, extra


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
