"""A tracking server of MLflow's in memory, and what it keeps of runs. It outlives every process of the world."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

_CLAUSE = re.compile(r"(tags|attributes?|params)\.[`\"]?([\w.]+)[`\"]? (=|!=) '([^']*)'")


@dataclass
class StoredRun:
    """One run."""

    run_id: str
    experiment_id: str
    name: str
    start_time: int
    status: str = "RUNNING"
    end_time: int | None = None
    lifecycle_stage: str = "active"
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, set[tuple[int, int, float]]] = field(default_factory=dict)  # step, timestamp, value
    files: dict[str, bytes] = field(default_factory=dict)

    def seen(self) -> Any:
        """Return the run as MLflow's entities look."""
        info = SimpleNamespace(
            run_id=self.run_id, experiment_id=self.experiment_id, run_name=self.name, status=self.status,
            start_time=self.start_time, end_time=self.end_time, lifecycle_stage=self.lifecycle_stage,
            artifact_uri=f"mlflow-artifacts:/{self.experiment_id}/{self.run_id}/artifacts",
        )  # fmt: skip
        last = {key: max(points)[2] for key, points in self.metrics.items()}
        return SimpleNamespace(
            info=info, data=SimpleNamespace(tags=dict(self.tags), params=dict(self.params), metrics=last)
        )


class Refused(Exception):
    """The server says no for good: the call was wrong."""


class Page(list[Any]):
    """A page of results; `token` leads to the next one."""

    token: str | None = None


class Server:
    """Experiments and runs. Knows nothing of faults."""

    def __init__(self) -> None:
        self.experiments: dict[str, SimpleNamespace] = {}  # by id
        self.runs: dict[str, StoredRun] = {}

    def create_experiment(self, name: str, location: str | None) -> str:
        if any(one.name == name for one in self.experiments.values()):
            raise Refused(f"RESOURCE_ALREADY_EXISTS: experiment {name!r}")
        identity = str(len(self.experiments) + 1)
        self.experiments[identity] = SimpleNamespace(
            experiment_id=identity, name=name, lifecycle_stage="active", tags={}, artifact_location=location
        )
        return identity

    def create_run(self, experiment_id: str, name: str, tags: dict[str, str], start_time: int) -> StoredRun:
        run = StoredRun(f"{len(self.runs):032x}", experiment_id, name, start_time, tags=dict(tags))
        self.runs[run.run_id] = run
        return run

    def run(self, run_id: str) -> StoredRun:
        if run_id not in self.runs:
            raise Refused(f"RESOURCE_DOES_NOT_EXIST: run {run_id}")
        return self.runs[run_id]

    def active(self, run_id: str) -> StoredRun:
        run = self.run(run_id)
        if run.lifecycle_stage != "active":
            raise Refused(f"INVALID_PARAMETER_VALUE: run {run_id} must be in the 'active' state")
        return run

    def log_params(self, run: StoredRun, params: Sequence[Any]) -> None:
        for param in params:
            if run.params.setdefault(param.key, param.value) != param.value:
                raise Refused(f"INVALID_PARAMETER_VALUE: changing param {param.key!r}")

    def log_metrics(self, run: StoredRun, metrics: Sequence[Any]) -> None:
        for one in metrics:
            run.metrics.setdefault(one.key, set()).add((one.step, one.timestamp, one.value))

    def search(self, experiment_ids: Sequence[str], words: str, stages: frozenset[str]) -> list[StoredRun]:
        """Find runs, newest first. Raises: Refused for a filter that this server does not understand."""
        clauses = [_CLAUSE.fullmatch(part.strip()) for part in re.split(r"\band\b", words) if part.strip()]
        if None in clauses:
            raise Refused(f"INVALID_PARAMETER_VALUE: filter {words!r}")
        found = [
            run
            for run in self.runs.values()
            if run.experiment_id in experiment_ids
            and run.lifecycle_stage in stages
            and all(_holds(run, *clause.groups()) for clause in clauses if clause)
        ]
        return found[::-1]


def _holds(run: StoredRun, kind: str, key: str, sign: str, value: str) -> bool:
    of = {"tags": run.tags, "params": run.params}.get(kind, vars(run))
    return (of.get(key) == value) == (sign == "=")
