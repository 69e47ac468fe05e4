"""The run of a study in MLflow, parent of the runs of its trials."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mer.study.space.spec import StudySpec
from mer.study.tracking.store import (
    NOTE_TAG,
    TAG_GENERATION,
    TAG_STUDY,
    TAG_TRIAL,
    Child,
    TrackingStore,
    children,
    create_database,
    metric_name,
)


@dataclass(frozen=True)
class StudyRun:
    """An open parent run.

    Args:
        client: an MlflowClient.
        experiment_id: of the experiment that has the study's name.
        run_id: of the parent run.
        is_new: no earlier driver has opened it.
    """

    client: Any
    experiment_id: str
    run_id: str
    is_new: bool

    @classmethod
    def open(cls, store: TrackingStore, spec: StudySpec, generation: str, environment: Mapping[str, Any]) -> Self:
        """Open the run of this search, or make it, in the study's experiment. Takes a second or two."""
        logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # the tracker says what it refuses, once
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow import MlflowClient

        create_database(store.uri)
        client = MlflowClient(store.uri)
        experiment_id = _experiment(client, store, spec.study)
        client.set_experiment_tag(experiment_id, "mlflow.experimentKind", "custom_model_development")
        mine = f"tags.`{TAG_GENERATION}` = '{generation}' and tags.`{TAG_TRIAL}` = 'study'"
        if found := client.search_runs([experiment_id], mine):
            run_id = found[0].info.run_id
            client.update_run(run_id, status="RUNNING")
            return cls(client, experiment_id, run_id, is_new=False)
        tags = {TAG_STUDY: spec.study, TAG_GENERATION: generation, TAG_TRIAL: "study"}
        note = f"{spec.description}\n\nRunning, started by `{environment['command']}`."
        tags |= {NOTE_TAG: note, "mer.git_sha": str(environment["git_sha"])}
        run = client.create_run(experiment_id, run_name=spec.study, tags=tags)
        return cls(client, experiment_id, run.info.run_id, is_new=True)

    def children(self) -> dict[int, Child]:
        """Find the runs of trials that earlier drivers made, by trial number."""
        return {} if self.is_new else children(self.client, self.experiment_id, self.run_id)

    def add(self, files: list[Path]) -> None:
        """Upload files to the run."""
        for file in files:
            self.client.log_artifact(self.run_id, str(file))

    def close(self, status: str, metrics: Mapping[str, float], files: list[Path], note: str) -> None:
        """End the run with a status word of MLflow's; files that are not there are passed over."""
        from mlflow.entities import Metric, RunTag

        values = [Metric(metric_name(key), value, clock_ms(), 0) for key, value in metrics.items()]
        self.client.log_batch(self.run_id, metrics=values, tags=[RunTag(NOTE_TAG, note)])
        self.add([file for file in files if file.exists()])
        self.client.set_terminated(self.run_id, status=status)


def _experiment(client: Any, store: TrackingStore, name: str) -> str:
    """Return the id of an experiment, made or restored where it has to be."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = f"{store.artifacts}/{name}" if store.artifacts else None
        return str(client.create_experiment(name, artifact_location=location))
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def clock_ms() -> int:
    """Return the time as MLflow counts it."""
    return time.time_ns() // 1_000_000
