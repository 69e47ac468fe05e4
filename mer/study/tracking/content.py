"""What the run of a trial must hold in MLflow: its name, parameters, metrics, tags, files and status.

All of it follows from the study's folder, so a run can be made again at any time. Nothing here talks to MLflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mer.files import sha256_json
from mer.study.show.words import recorded_name, show
from mer.study.tracking.params import told_params
from mer.study.tracking.points import Point, best_points, points_of
from mer.study.tracking.store import (
    STATUS,
    TAG_GENERATION,
    TAG_OUTCOME,
    TAG_STUDY,
    TAG_TRIAL,
    metric_name,
)
from mer.training import Row

TAG_REASON, TAG_GIT, TAG_RESULT = "mer.reason", "mer.git_sha", "mer.result"
_FORM = "2."  # of what is written of a trial; runs whose digest has another one are brought to this one
_LONGEST_PARAM, _LONGEST_TAG = 6000, 8000  # characters; MLflow cuts what is longer


@dataclass(frozen=True)
class StudyIdentity:
    """What the runs of a study have in common.

    Args:
        name: of the study and of its experiment.
        generation: tells this search from earlier ones of the same name.
        metrics: of its objectives.
        mode: better direction of the first.
    """

    name: str
    generation: str
    metrics: tuple[str, ...]
    mode: str = "max"


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
        metric, mode: by which the best of them is found.
        best_epoch: the one that dev chose; None while the trial runs.
        summary: metrics beside those of its epochs.
        status: MLflow's word.
    """

    trial: str
    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    rows: Sequence[Row]
    metric: str
    mode: str
    best_epoch: float | None
    summary: tuple[Point, ...]
    files: tuple[Path, ...]
    status: str
    start_ms: int
    end_ms: int

    def points(self, first_row: int = 0, end: int | None = None) -> Iterator[Point]:
        """Yield the metrics, those of the rows from `first_row` on, before row `end`."""
        rows = self.rows if end is None else self.rows[:end]
        yield from points_of(rows, self.metric, self.mode, first_row=first_row, best_epoch=self.best_epoch)
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
        return _FORM + sha256_json([self.params, self.tags, values, sorted(self.sizes.items()), self.status])


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
    if result := _result(study, trial):
        tags[TAG_RESULT] = result
    return Content(
        trial=str(trial.number),
        name=recorded_name(trial.number, trial.params, trial.config),
        params={key: str(value)[:_LONGEST_PARAM] for key, value in told_params(trial.params, trial.config).items()},
        tags={key: value[:_LONGEST_TAG] for key, value in tags.items()},
        rows=trial.rows,
        metric=study.metrics[0],
        mode=study.mode,
        best_epoch=trial.best["epoch"] if trial.best and _is_over(trial) else None,
        summary=tuple(_summary(study, trial)),
        files=trial.files,
        status=STATUS[trial.outcome],
        start_ms=trial.start_ms,
        end_ms=trial.end_ms or (int(trial.rows[-1]["timestamp_ms"]) if trial.rows else trial.start_ms),
    )


def is_of_today(digest: str) -> bool:
    """True for a digest of what this version writes of a trial; False for an earlier version's, and for none."""
    return digest.startswith(_FORM)


def _is_over(trial: TrialFacts) -> bool:
    return trial.outcome not in ("running", "interrupted")


def _summary(study: StudyIdentity, trial: TrialFacts) -> Iterator[Point]:
    """Yield how many epochs a trial that is over has run, and its best epoch where its rows do not have it."""
    last = trial.rows[-1] if trial.rows else trial.best
    if last is None or not _is_over(trial):
        return
    if trial.best is not None and all(row["epoch"] != trial.best["epoch"] for row in trial.rows):
        yield from best_points(trial.best)
    yield Point("epochs_done", last["epoch"], int(last["timestamp_ms"]), int(last["epoch"]))


def _result(study: StudyIdentity, trial: TrialFacts) -> str:
    """Say what a trial has reached, for MLflow's page shows its last epoch; "" while it runs, and for a failed one."""
    best, metric = trial.best, study.metrics[0]
    if best is None or metric not in best or not _is_over(trial):
        return ""
    done = trial.rows[-1]["epoch"] if trial.rows else best["epoch"]
    cut = ", stopped early" if trial.outcome == "cut" else ""
    return f"{metric} {show(metric, best[metric])} at epoch {best['epoch']:.0f} of {done:.0f}{cut}"
