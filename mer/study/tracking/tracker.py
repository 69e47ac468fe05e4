"""Write every trial to MLflow from one thread: the parent run is the study, each child run a trial number.

Hooks only queue work. Writes are safe to repeat: runs are found by their trial number, rows keep their first
timestamp (MLflow drops exact repeats), and a terminal status is written last, so it proves that the rest is in.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from mer.config import TrialConfig, flatten, nest
from mer.files import write_json
from mer.study.folder.artifacts import read_history, write_artifacts
from mer.study.paths import ARTIFACTS, ENVIRONMENT, trial_folder, trial_name
from mer.study.search.stored_trial import ENDED, params_of
from mer.study.show.words import run_name
from mer.study.space.spec import StudySpec
from mer.study.tracking.store import (
    NOTE_TAG,
    PARENT_TAG,
    STATUS,
    TAG_GENERATION,
    TAG_OUTCOME,
    TAG_STUDY,
    TAG_TRIAL,
    TrackingStore,
    create_database,
)
from mer.training import Row
from trainables.trial_files import LAST
from trainables.wire import Outcome

_NOT_METRICS = ("epoch", "timestamp_ms")


@dataclass(frozen=True)
class DevSplit:
    """Ids and true labels of dev, for the tables and pictures of every trial."""

    ids: tuple[str, ...]
    labels_N: np.ndarray


class Tracker:
    """The study's record in MLflow. Implements `engine.Listener`.

    Args:
        store: where to write.
        spec: the study.
        folder: the study folder, with `trials/<number>/`.
        generation: tells this search from earlier ones of the same name.
        environment: JSON-able description of code, packages and machine.
        dev: ids and labels of the dev split.
        after_trial: called in the writer thread once an ended trial is written completely.
    """

    def __init__(
        self,
        store: TrackingStore,
        spec: StudySpec,
        folder: Path,
        generation: str,
        environment: Mapping[str, Any],
        dev: DevSplit,
        after_trial: Callable[[int, Outcome, Row | None], None] = lambda *_: None,
    ) -> None:
        self.store, self.spec, self.folder, self.generation = store, spec, folder, generation
        self.environment, self.dev, self.after_trial = environment, dev, after_trial
        self.errors: list[str] = []
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="mer-tracker", daemon=True)
        self._runs: dict[int, str] = {}
        self._rows: dict[int, list[Row]] = {}
        self._configs: dict[int, dict[str, Any]] = {}
        self._open: set[int] = set()
        self._unsure: set[int] = set()  # trials whose run may be incomplete: they are logged again
        self._parent = ""

    # -- called by the driver; each returns at once ---------------------------------------------------------------

    def start(self, trials: list[FrozenTrial], files: list[Path]) -> None:
        """Open the parent run, then bring in whatever earlier drivers left unwritten. `files` go to the parent."""
        self._thread.start()
        self._queue.put(lambda: self._open_parent(files))
        self._queue.put(lambda: self._catch_up(trials))

    def trial_started(self, number: int, params: dict[str, Any], config: TrialConfig | None) -> None:
        self._open.add(number)
        self._queue.put(lambda: self._begin(number, params, config))

    def trial_rows(self, number: int, rows: list[Row]) -> None:
        if rows:
            self._queue.put(lambda: self._log_rows(number, rows))

    def trial_ended(self, number: int, outcome: Outcome, best: Row | None, reason: str) -> None:
        self._open.discard(number)
        self._queue.put(lambda: self._finish(number, outcome, best, reason))

    def close(self, status: str, metrics: Mapping[str, float], files: list[Path], note: str) -> None:
        """Close every run that is still open, then the parent; returns when all is written."""
        for number in sorted(self._open):
            self._queue.put(lambda number=number: self._terminate(number, "interrupted"))  # type: ignore[misc]
        self._queue.put(lambda: self._close_parent(status, metrics, files, note))
        self._queue.put(None)
        self._thread.join()

    # -- the writer thread ---------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                job()
            except Exception as fault:  # the record must never take the study down; the summary says what failed
                self.errors.append(f"{type(fault).__name__}: {fault}")

    def _open_parent(self, files: list[Path]) -> None:
        logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # what it refuses is in `errors`, and said once
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow import MlflowClient  # a second or two; here it overlaps with Ray's start

        create_database(self.store.uri)
        self._client = MlflowClient(self.store.uri)
        experiment = self._client.get_experiment_by_name(self.spec.study)
        if experiment is None:
            location = f"{self.store.artifacts}/{self.spec.study}" if self.store.artifacts else None
            experiment_id = self._client.create_experiment(self.spec.study, artifact_location=location)
        else:
            experiment_id = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":
                self._client.restore_experiment(experiment_id)
        self.experiment_id = experiment_id
        self._client.set_experiment_tag(experiment_id, "mlflow.experimentKind", "custom_model_development")
        mine = f"tags.`{TAG_GENERATION}` = '{self.generation}' and tags.`{TAG_TRIAL}` = 'study'"
        found = self._client.search_runs([experiment_id], mine)
        if found:
            self._parent = found[0].info.run_id
            self._client.update_run(self._parent, status="RUNNING")
            self._find_children()
        else:
            tags = {TAG_STUDY: self.spec.study, TAG_GENERATION: self.generation, TAG_TRIAL: "study"}
            note = f"{self.spec.description}\n\nRunning, started by `{self.environment['command']}`."
            tags |= {NOTE_TAG: note, "mer.git_sha": str(self.environment["git_sha"])}
            self._parent = self._client.create_run(experiment_id, run_name=self.spec.study, tags=tags).info.run_id
        for file in files:
            self._client.log_artifact(self._parent, str(file))

    def _find_children(self) -> None:
        token = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id], f"tags.`{PARENT_TAG}` = '{self._parent}'", max_results=1000, page_token=token
            )
            for run in page:
                self._runs[int(run.data.tags[TAG_TRIAL])] = run.info.run_id
                if run.info.status == "RUNNING" or run.data.tags.get(TAG_OUTCOME) in (None, "interrupted"):
                    self._unsure.add(int(run.data.tags[TAG_TRIAL]))
            if not (token := page.token):
                return

    def _catch_up(self, trials: list[FrozenTrial]) -> None:
        """Re-log the history of every trial that is not finished in both stores; repeats are harmless."""
        for trial in trials:
            ended = trial.state in ENDED
            if trial.state == TrialState.WAITING or (
                ended and trial.number in self._runs and trial.number not in self._unsure
            ):
                continue
            rows = read_history(self._trial_folder(trial.number))
            if not ended and not rows and trial.number not in self._runs:
                continue
            params = params_of(trial)
            config: TrialConfig | None
            try:
                config = self.spec.trial_config(params)
            except ValueError:
                config = None
            self._begin(trial.number, params, config)
            ending = trial.user_attrs.get("ending", {})
            if ended and ending.get("last"):
                rows = [row for row in rows if row["epoch"] <= ending["last"][0]]
            self._log_rows(trial.number, rows)
            if ended:
                self._finish(trial.number, ending.get("outcome", "error"), ending.get("best"), ending.get("reason", ""))
            else:
                self._terminate(trial.number, "interrupted")

    def _begin(self, number: int, params: dict[str, Any], config: TrialConfig | None) -> None:
        resolved = config.model_dump(mode="json") if config else nest(params)  # no config: the draw was refused
        self._configs[number], self._rows[number] = resolved, []
        environment = self._trial_folder(number) / ARTIFACTS / ENVIRONMENT
        if not environment.exists():  # of the driver that began the trial, whoever ends it
            write_json(environment, {**self.environment, "seed": resolved.get("seed")})
        if number in self._runs:
            self._client.update_run(self._runs[number], status="RUNNING")
            return
        tags = {
            PARENT_TAG: self._parent,
            TAG_STUDY: self.spec.study,
            TAG_TRIAL: str(number),
            TAG_GENERATION: self.generation,
            "mer.git_sha": str(self.environment["git_sha"]),
            **{f"sampled.{key}": str(value) for key, value in params.items()},
        }
        run = self._client.create_run(self.experiment_id, run_name=run_name(number, params, config), tags=tags)
        self._runs[number] = run.info.run_id
        from mlflow.entities import Param

        flat = flatten(resolved)
        self._client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in flat.items()])

    def _log_rows(self, number: int, rows: list[Row]) -> None:
        from mlflow.entities import Metric

        known = {row["epoch"] for row in self._rows[number]}
        self._rows[number] += [row for row in rows if row["epoch"] not in known]
        metrics = [
            Metric(key, value, int(row["timestamp_ms"]), int(row["epoch"]))
            for row in rows
            for key, value in row.items()
            if key not in _NOT_METRICS
        ]
        for start in range(0, len(metrics), 1000):
            self._client.log_batch(self._runs[number], metrics=metrics[start : start + 1000])

    def _finish(self, number: int, outcome: Outcome, best: Row | None, reason: str) -> None:
        from mlflow.entities import Metric, RunTag

        rows, run = self._rows[number], self._runs[number]
        config = self._configs[number]
        title = f"{self.spec.study} {trial_name(number)}"
        folder = write_artifacts(
            self._trial_folder(number),
            title=title,
            config=config,
            rows=rows,
            ids=self.dev.ids,
            labels_N=self.dev.labels_N,
        )
        self._client.log_artifacts(run, str(folder))
        metrics: list[Metric] = []
        if best is not None:
            stamp = int(best["timestamp_ms"])
            named = {f"best_{o.metric}": best[o.metric] for o in self.spec.objective}
            named |= {"best_epoch": best["epoch"], "epochs_done": rows[-1]["epoch"] if rows else best["epoch"]}
            metrics = [Metric(key, value, stamp, int(best["epoch"])) for key, value in named.items()]
        tags = [RunTag("mer.reason", reason)] if reason else []
        self._client.log_batch(run, metrics=metrics, tags=tags)
        self._terminate(number, outcome)
        (self._trial_folder(number) / LAST).unlink(missing_ok=True)  # its rows are in history.csv now
        self._rows.pop(number), self._configs.pop(number)
        self.after_trial(number, outcome, best)

    def _terminate(self, number: int, outcome: str) -> None:
        if number in self._runs:
            self._client.set_tag(self._runs[number], TAG_OUTCOME, outcome)
            self._client.set_terminated(self._runs[number], status=STATUS[outcome])

    def _close_parent(self, status: str, metrics: Mapping[str, float], files: list[Path], note: str) -> None:
        self._client.set_tag(self._parent, NOTE_TAG, note)
        for key, value in metrics.items():
            self._client.log_metric(self._parent, key, value)
        for file in files:
            if file.exists():
                self._client.log_artifact(self._parent, str(file))
        self._client.set_terminated(self._parent, status=status)

    def _trial_folder(self, number: int) -> Path:
        return trial_folder(self.folder, number)
