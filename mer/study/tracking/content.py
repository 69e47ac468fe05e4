"""What the run of a trial must hold in MLflow: its name, parameters, metrics, tags, files and status.

All of it follows from the study's folder, so a run can be made again at any time. Nothing here talks to MLflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from mer.config import flatten
from mer.files import sha256_json
from mer.study.show.words import recorded_name
from mer.study.tracking.store import (
    STATUS,
    TAG_GENERATION,
    TAG_OUTCOME,
    TAG_STUDY,
    TAG_TRIAL,
    metric_name,
)
from mer.training import Row

TAG_REASON, TAG_GIT = "mer.reason", "mer.git_sha"
_NOT_METRICS = ("epoch", "timestamp_ms")
_LONGEST_PARAM, _LONGEST_TAG = 6000, 8000  # characters; MLflow cuts what is longer


class Point(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    timestamp_ms: int
    step: int


@dataclass(frozen=True)
class StudyIdentity:
    """What the runs of a study have in common.

    Args:
        name: of the study and of its experiment.
        generation: tells this search from earlier ones of the same name.
        metrics: of its objectives.
    """

    name: str
    generation: str
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class TrialFacts:
    """What is known of a trial that was handed out.

    Args:
        params: drawn by the search, by dotted key.
        config: resolved, as JSON data.
        git_sha: of the code that began it.
        rows: one per epoch; may grow while the trial runs.
        outcome: `running`, `interrupted`, or how it ended.
        best: the row that dev chose; None before the first.
        reason: why it failed or was stopped.
        last_epoch: the one after which it was cut; its worker may have gone on.
        files: artifacts that are written.
    """

    number: int
    params: Mapping[str, Any]
    config: Mapping[str, Any]
    git_sha: str
    rows: Sequence[Row]
    start_ms: int
    outcome: str = "running"
    best: Row | None = None
    reason: str = ""
    end_ms: int = 0
    last_epoch: int | None = None
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Content:
    """What a run must hold.

    Args:
        trial: number as text, or `store.STUDY`.
        rows: epochs whose metrics it has.
        summary: metrics beside those of its epochs.
        status: MLflow's word.
    """

    trial: str
    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    rows: Sequence[Row]
    summary: tuple[Point, ...]
    files: tuple[Path, ...]
    status: str
    start_ms: int
    end_ms: int

    def points(self, first_row: int = 0) -> Iterator[Point]:
        """Yield the metrics, those of the rows from `first_row` on."""
        yield from points_of(self.rows[first_row:])
        yield from self.summary

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Size of each file by its name."""
        return {file.name: file.stat().st_size for file in self.files}

    @property
    def digest_if_over(self) -> str:
        """Its digest; "" while the trial runs."""
        return "" if self.status == STATUS["running"] else self.digest

    @cached_property
    def digest(self) -> str:
        """Hash of all of it but name and times, which people may change and clocks do not repeat."""
        points = sorted(self.points(), key=lambda point: (point.key, point.step))
        values = [(key, float(value), stamp, step) for key, value, stamp, step in points]
        return sha256_json([self.params, self.tags, values, sorted(self.sizes.items()), self.status])


@dataclass(frozen=True)
class Closing:
    """How a study ended: what its own run must hold.

    Args:
        status: MLflow's word.
        metrics: of its best trial.
        note: its description, Markdown.
    """

    status: str
    end_ms: int
    metrics: Mapping[str, float]
    note: str

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Closing | None:
        """Take what `vars` gave; None where it is no such thing."""
        try:
            metrics = {str(key): float(value) for key, value in said["metrics"].items()}
            return cls(str(said["status"]), int(said["end_ms"]), metrics, str(said["note"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    @cached_property
    def digest(self) -> str:
        """Hash of all but the time."""
        return sha256_json([self.status, dict(self.metrics), self.note])

    def points(self) -> list[Point]:
        """Return its metrics."""
        return [Point(metric_name(key), value, self.end_ms, 0) for key, value in self.metrics.items()]


def points_of(rows: Iterable[Row]) -> Iterator[Point]:
    """Yield the metrics of some epochs."""
    names: dict[str, str] = {}
    for row in rows:
        stamp, step = int(row["timestamp_ms"]), int(row["epoch"])
        for key, value in row.items():
            if key not in _NOT_METRICS:
                yield Point(names.setdefault(key, metric_name(key)), value, stamp, step)


def content_of(study: StudyIdentity, trial: TrialFacts) -> Content:
    """Say what the run of a trial must hold."""
    tags = {
        TAG_STUDY: study.name,
        TAG_TRIAL: str(trial.number),
        TAG_GENERATION: study.generation,
        TAG_GIT: trial.git_sha,
        **{f"sampled.{key}": str(value) for key, value in trial.params.items()},
    }
    if trial.outcome != "running":
        tags[TAG_OUTCOME] = trial.outcome
    if trial.reason:
        tags[TAG_REASON] = trial.reason
    return Content(
        trial=str(trial.number),
        name=recorded_name(trial.number, trial.params, trial.config),
        params={key: str(value)[:_LONGEST_PARAM] for key, value in flatten(dict(trial.config)).items()},
        tags={key: value[:_LONGEST_TAG] for key, value in tags.items()},
        rows=trial.rows,
        summary=tuple(_summary(study, trial)),
        files=trial.files,
        status=STATUS[trial.outcome],
        start_ms=trial.start_ms,
        end_ms=trial.end_ms or (int(trial.rows[-1]["timestamp_ms"]) if trial.rows else trial.start_ms),
    )


def _summary(study: StudyIdentity, trial: TrialFacts) -> Iterator[Point]:
    """Yield the metrics of the best epoch of a trial that has ended, by which MLflow's tables sort."""
    best = trial.best
    if best is None or trial.outcome in ("running", "interrupted"):
        return
    stamp, step = int(best["timestamp_ms"]), int(best["epoch"])
    named = {f"best_{metric}": best[metric] for metric in study.metrics}
    named |= {"best_epoch": best["epoch"], "epochs_done": trial.rows[-1]["epoch"] if trial.rows else best["epoch"]}
    for key, value in named.items():
        yield Point(metric_name(key), value, stamp, step)
