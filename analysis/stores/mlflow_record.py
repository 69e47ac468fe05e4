"""Read a study's MLflow records: whether it runs, how long it took, curves of trials that have not ended."""

from __future__ import annotations

import logging
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.stores.files import inner

_ONE_TRY = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


@dataclass(frozen=True)
class MlflowRecord:
    """A study's record in MLflow. `note` says in words what was found, or why nothing was."""

    note: str
    status: str = ""
    seconds: float | None = None
    tags: dict[str, str] = field(default_factory=dict)
    runs: dict[int, str] = field(default_factory=dict)
    client: Any = None

    def history(self, number: int, metrics: list[str]) -> list[dict[str, float]]:
        """Read one row per epoch with the metrics asked for; empty when MLflow has none."""
        if self.client is None or number not in self.runs:
            return []
        rows: dict[int, dict[str, float]] = {}
        for name in metrics:
            for point in self.client.get_metric_history(self.runs[number], name):
                rows.setdefault(point.step, {"epoch": float(point.step)})[name] = point.value
        return [rows[epoch] for epoch in sorted(rows)]


def read_mlflow(folder: Path, name: str, generation: str, summary: dict[str, Any]) -> MlflowRecord:
    """Read the study's record from the store it was written to, else from the one beside its folder. Never raises."""
    from mer.study.tracking.store import TrackingStore

    beside = TrackingStore.under(folder.parent, os.environ.get("MLFLOW_TRACKING_URI")).uri
    candidates = list(
        dict.fromkeys(
            filter(None, [told if isinstance(told := inner(summary, "mlflow").get("uri"), str) else None, beside])
        )
    )
    there = [uri for uri in candidates if (file := TrackingStore(uri, None).database) is None or file.is_file()]
    if not there:  # opening a SQLite store that is not there would make one
        return MlflowRecord(f"no store at {' or '.join(TrackingStore(uri, None).shown for uri in candidates)}")
    try:
        return _search(there[0], name, generation)
    except Exception as fault:  # a server that is away, another version's database: the page does without
        return MlflowRecord(f"{TrackingStore(there[0], None).shown} cannot be read ({type(fault).__name__})")


def _search(uri: str, name: str, generation: str) -> MlflowRecord:
    from mer.study.tracking.found_runs import find_experiment, find_runs, one_for_each
    from mer.study.tracking.store import STUDY, TrackingStore

    for key, value in _ONE_TRY.items():
        os.environ.setdefault(key, value)
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = find_experiment(client, name, generation)
    found, _ = one_for_each(find_runs(client, experiment.experiment_id, generation) if experiment else ())
    shown = TrackingStore(uri, None).shown
    if (own := found.pop(STUDY, None)) is None:
        return MlflowRecord(f"{shown} holds no record of this search")
    parent = client.get_run(own.run_id)
    found = {trial: run for trial, run in found.items() if not run.deleted}
    statuses = Counter(run.status for run in found.values())
    counted = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) or "no trials"
    end = parent.info.end_time
    seconds = (end - parent.info.start_time) / 1000 if end else None
    note = f"{shown}, experiment {name}: study {parent.info.status}, {counted}"
    return MlflowRecord(
        note,
        parent.info.status,
        seconds,
        dict(parent.data.tags),
        {int(trial): run.run_id for trial, run in found.items()},
        client,
    )
