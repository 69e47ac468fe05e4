"""All that is ever asked of MLflow about one study, and how it is asked. A stand-in with these methods may replace it.

What is written is plain data; which of it, and when, is decided elsewhere.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from mer.study.tracking.about import DataUsed
from mer.study.tracking.found_runs import Answered, FoundRun, Looking, find_experiment, find_runs
from mer.study.tracking.held import Held
from mer.study.tracking.moved import follow_the_folder
from mer.study.tracking.points import Point
from mer.study.tracking.shared_view import TAG_VIEW
from mer.study.tracking.store import TAG_ASKED, TrackingStore, create_database
from mer.study.tracking.transaction import one_transaction, sql_store

_KIND = "mlflow.experimentKind", "custom_model_development"
# MLflow asks a server that is away seven times, for minutes a call. Retries are the writer's: a call that is repeated
# unseen may make a second run.
_BOUNDS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_QUIET = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}  # two lines for each run that ends on a server


class StudyRuns:
    """The runs of one study in an open store.

    Args:
        client: an MlflowClient.
        experiment_id: of the experiment that has the study's name, or had it before somebody renamed it.
        generation: tells this search from earlier ones of the same name.
        answered: told after every answer of what is read.
    """

    def __init__(self, client: Any, experiment_id: str, generation: str, answered: Answered = lambda: None) -> None:
        self.client, self.experiment_id, self.generation = client, experiment_id, generation
        self.answered = answered
        self._places: dict[str, str] = {}  # run id -> where its files go, of runs that were created here

    @classmethod
    def open(cls, where: TrackingStore, study: str, generation: str, looking: Looking = Looking()) -> Self:  # noqa: B008
        """Open the store, and find or make the study's experiment. Takes a second or two.

        Raises: whatever MLflow raises.
        """
        client = connect(where)
        return cls(client, _experiment(client, where, study, generation, looking), generation, looking.answered)

    @classmethod
    def look(
        cls,
        where: TrackingStore,
        study: str,
        generation: str,
        looking: Looking = Looking(),  # noqa: B008
    ) -> Self | None:
        """Open the store for reading only; None when there is none, or it has no such experiment.

        Raises: whatever MLflow raises.
        """
        if where.database is not None and not where.database.exists():
            return None
        _prepare()
        from mlflow import MlflowClient

        client = MlflowClient(where.uri)
        experiment = find_experiment(client, study, generation, looking)
        if experiment is None:
            return None
        return cls(client, str(experiment.experiment_id), generation, looking.answered)

    @property
    def transactional(self) -> bool:
        """True when several writes can be made together or not at all: in SQL stores."""
        return sql_store(self.client) is not None

    def together(self) -> Any:
        """Return a context in which all writes are made together, or one after another where that cannot be."""
        return one_transaction(self.client)

    def probe(self) -> None:
        """Write something small, and another value each time: what is there already, an SQL store does not write.

        Raises: when the store takes nothing just now.
        """
        self.client.set_experiment_tag(self.experiment_id, TAG_ASKED, uuid.uuid4().hex)

    def find(self) -> list[FoundRun]:
        """Find every run of the study, deleted ones too."""
        return find_runs(self.client, self.experiment_id, self.generation, self.answered)

    def held(self, run_id: str) -> Held:
        """Read all that a run holds."""
        run = self.client.get_run(run_id)
        self.answered()
        points: dict[tuple[str, int], tuple[float, ...]] = {}
        for key, step, value in self._points(run):
            points[key, step] = (*points.get((key, step), ()), value)
        files = {file.path: file.file_size or 0 for file in self.client.list_artifacts(run_id) if not file.is_dir}
        deleted = run.info.lifecycle_stage == "deleted"
        return Held(run.info.status, dict(run.data.params), dict(run.data.tags), points, files, deleted)

    def create(self, name: str, tags: Mapping[str, str], start_ms: int) -> str:
        """Make a run that is RUNNING; return its id."""
        run = self.client.create_run(self.experiment_id, run_name=name, tags=dict(tags), start_time=start_ms)
        self._places[run.info.run_id] = run.info.artifact_uri
        return str(run.info.run_id)

    def log(
        self, run_id: str, points: Iterable[Point] = (), params: Mapping[str, str] = {}, tags: Mapping[str, str] = {}
    ) -> None:
        """Add values to a run; those that are there already do no harm."""
        from mlflow.entities import Metric, Param, RunTag

        self.client.log_batch(
            run_id,
            metrics=[Metric(*point) for point in points],
            params=[Param(key, value) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )

    def show(self, view: str) -> None:
        """Let MLflow's page of the study open as `shared_view.view_of` says."""
        self.client.set_experiment_tag(self.experiment_id, TAG_VIEW, view)

    def log_data(self, run_id: str, data: Iterable[DataUsed]) -> None:
        """List datasets among a run's inputs; those that are listed already do no harm."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = [
            DatasetInput(
                Dataset(one.name, one.digest, "local", one.source), [InputTag("mlflow.data.context", one.context)]
            )
            for one in data
        ]
        self.client.log_inputs(run_id, inputs)

    def upload(self, run_id: str, files: Iterable[Path]) -> None:
        """Copy files to a run, over earlier ones of the same names."""
        place = self._places.pop(run_id, "")
        if place.startswith("file:"):  # else MLflow reads the whole run to learn the place
            from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

            put = get_artifact_repository(place).log_artifact
        else:
            put = lambda file: self.client.log_artifact(run_id, file)  # noqa: E731
        for file in files:
            put(str(file))

    def set_status(self, run_id: str, status: str, end_ms: int | None = None) -> None:
        """Set MLflow's status word; with a time the run is over."""
        if end_ms is None:
            self.client.update_run(run_id, status=status)
        else:
            self.client.set_terminated(run_id, status=status, end_time=end_ms)

    def delete(self, run_id: str) -> None:
        """Put a run into MLflow's trash."""
        self.client.delete_run(run_id)

    def restore(self, run_id: str) -> None:
        """Take a run out of MLflow's trash."""
        self.client.restore_run(run_id)

    def _points(self, run: Any) -> Iterator[tuple[str, int, float]]:
        if (store := sql_store(self.client)) is not None:  # one query, not one for each metric
            from mlflow.store.tracking.dbmodels.models import SqlMetric as Stored

            with store.ManagedSessionMaker(read_only=True) as session:
                asked = session.query(Stored.key, Stored.step, Stored.value, Stored.is_nan)
                rows = asked.filter(Stored.run_uuid == run.info.run_id).all()
            yield from ((key, step, float("nan") if is_nan else value) for key, step, value, is_nan in rows)
            return
        for key in run.data.metrics:
            for point in self.client.get_metric_history(run.info.run_id, key):
                yield point.key, point.step, point.value
            self.answered()


def connect(where: TrackingStore) -> Any:
    """Return an MlflowClient of a store that is made if need be, and whose files are where its records say.

    For this process, MLflow's own retries are bounded. Raises: whatever MLflow raises.
    """
    _prepare()
    from mlflow import MlflowClient

    create_database(where.uri)
    follow_the_folder(where)
    return MlflowClient(where.uri)


def _prepare() -> None:
    """Bound MLflow's own retries, and keep it quiet: who calls says what is refused, once."""
    for name, value in (_BOUNDS | _QUIET).items():
        os.environ.setdefault(name, value)
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def clock_ms() -> int:
    """Return the time as MLflow counts it."""
    return time.time_ns() // 1_000_000


def _experiment(client: Any, where: TrackingStore, study: str, generation: str, looking: Looking) -> str:
    """Return the id of the study's experiment, made or restored where it has to be."""
    experiment = find_experiment(client, study, generation, looking)
    if experiment is None:
        location = f"{where.artifacts}/{study}" if where.artifacts else None
        return str(client.create_experiment(study, artifact_location=location, tags=dict([_KIND])))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)
