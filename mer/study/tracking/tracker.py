"""Write every trial to MLflow from one thread: the parent run is the study, each child run a trial number.

Hooks only queue work. The thread gathers what is queued for a moment and writes it together (`run_batch`). Writes are
safe to repeat: runs are found by their trial number, rows keep their first timestamp (MLflow drops exact repeats), and
a terminal status is written last, so it proves that the rest is in.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from mer.config import TrialConfig, flatten, nest
from mer.files import write_json
from mer.study.folder.artifacts import draw_confusion, read_history, write_artifacts
from mer.study.folder.standings import Standing
from mer.study.paths import ARTIFACTS, CONFUSION, ENVIRONMENT, trial_folder, trial_name
from mer.study.search.stored_trial import ENDED, params_of
from mer.study.show.words import run_name
from mer.study.space.spec import StudySpec
from mer.study.tracking.run_batch import RunBatch
from mer.study.tracking.store import (
    PARENT_TAG,
    STATUS,
    TAG_GENERATION,
    TAG_OUTCOME,
    TAG_STUDY,
    TAG_TRIAL,
    TrackingStore,
    metric_name,
)
from mer.study.tracking.study_run import StudyRun, clock_ms
from mer.training import Row
from trainables.trial_files import forget_state
from trainables.wire import Outcome

_NOT_METRICS = ("epoch", "timestamp_ms")
_GATHER_S = 1.0  # what is queued within this time is written together
_MOST_RUNS = 100  # of one batch: others may write to the database too, and wait for its end


@dataclass(frozen=True)
class DevSplit:
    """Ids and true labels of dev, for the tables of every trial."""

    ids: tuple[str, ...]
    labels_N: np.ndarray


class Tracker:
    """The study's record in MLflow. Implements `live_trial.Listener`.

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
        self._study: StudyRun | None = None  # once the store is open
        self._batch: RunBatch | None = None

    # -- called by the driver; each returns at once ---------------------------------------------------------------

    def start(self, trials: list[FrozenTrial], files: list[Path]) -> None:
        """Open the parent run, then bring in whatever earlier drivers left unwritten. `files` go to the parent."""
        self._thread.start()
        self._queue.put(lambda: self._open_study(files))
        self._queue.put(lambda: self._catch_up(trials))

    def trial_started(self, number: int, params: dict[str, Any], config: TrialConfig | None) -> None:
        self._open.add(number)
        now = clock_ms()
        self._queue.put(lambda: self._begin(number, params, config, now))

    def trial_placed(self, number: int, *, has_worker: bool) -> None:
        return None  # a run is the same whoever trains it

    def trial_rows(self, number: int, rows: list[Row]) -> None:
        if rows:
            self._queue.put(lambda: self._log_rows(number, rows))

    def trial_ended(self, number: int, outcome: Outcome, best: Row | None, reason: str) -> None:
        self._open.discard(number)
        now = clock_ms()
        self._queue.put(lambda: self._finish(number, outcome, best, reason, now))

    def close(
        self,
        status: str,
        metrics: Mapping[str, float],
        files: list[Path],
        note: str,
        pictured: Sequence[Standing] = (),
    ) -> None:
        """Close every run that is still open, then the parent; returns when all is written.

        Args: pictured: trials whose confusion matrix is drawn now, unless it was before.
        """
        for number in sorted(self._open):
            self._queue.put(lambda number=number: self._terminate(number, "interrupted"))  # type: ignore[misc]
        self._queue.put(lambda: self._draw(pictured))
        self._queue.put(lambda: self._opened.close(status, metrics, files, note))
        self._queue.put(None)
        self._thread.join()

    # -- the writer thread ---------------------------------------------------------------------------------------

    def _work(self) -> None:
        going = True
        while going:
            going = self._gather()
            self._try(self._flush)

    def _gather(self) -> bool:
        """Do what is queued within a moment. Returns False when nothing follows."""
        job, until = self._queue.get(), time.monotonic() + _GATHER_S
        while job is not None:
            self._try(job)
            left = until - time.monotonic()
            if left <= 0 or len(self._batch or ()) >= _MOST_RUNS:
                return True
            try:
                job = self._queue.get(timeout=left)
            except queue.Empty:
                return True
        return False

    def _try(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as fault:  # the record must never take the study down; the summary says what failed
            self._failed(fault)

    def _failed(self, fault: Exception) -> None:
        self.errors.append(f"{type(fault).__name__}: {fault}")

    def _flush(self) -> None:
        if self._batch:
            self._batch.write()

    def _open_study(self, files: list[Path]) -> None:
        self._study = study = StudyRun.open(self.store, self.spec, self.generation, self.environment)
        self._batch = RunBatch(study.client, study.experiment_id, self._runs, self._failed)
        for number, run in study.children().items():
            self._runs[number] = run.run_id
            if run.status == "RUNNING" or run.outcome in ("", "interrupted"):
                self._unsure.add(number)
        study.add(files)

    def _catch_up(self, trials: list[FrozenTrial]) -> None:
        """Re-log the history of every trial that is not finished in both stores; repeats are harmless."""
        for trial in trials:
            ended = trial.state in ENDED
            if trial.state == TrialState.WAITING or (
                ended and trial.number in self._runs and trial.number not in self._unsure
            ):
                continue
            params = params_of(trial)
            config: TrialConfig | None
            try:
                config = self.spec.trial_config(params)
            except ValueError:
                config = None
            rows = read_history(self._trial_folder(trial.number), config)
            if not ended and not rows and trial.number not in self._runs:
                continue
            self._begin(trial.number, params, config)
            ending = trial.user_attrs.get("ending", {})
            if ended and ending.get("last"):
                rows = [row for row in rows if row["epoch"] <= ending["last"][0]]
            self._log_rows(trial.number, rows)
            if ended:
                self._finish(trial.number, ending.get("outcome", "error"), ending.get("best"), ending.get("reason", ""))
            else:
                self._terminate(trial.number, "interrupted")
            if len(self._runs_of_batch) >= _MOST_RUNS:
                self._flush()

    def _begin(
        self, number: int, params: dict[str, Any], config: TrialConfig | None, now_ms: int | None = None
    ) -> None:
        resolved = config.model_dump(mode="json") if config else nest(params)  # no config: the draw was refused
        self._configs[number], self._rows[number] = resolved, []
        environment = self._trial_folder(number) / ARTIFACTS / ENVIRONMENT
        if not environment.exists():  # of the driver that began the trial, whoever ends it
            write_json(environment, {**self.environment, "seed": resolved.get("seed")})
        from mlflow.entities import Param

        pending = self._runs_of_batch.of(number)
        if number in self._runs or pending.create:
            pending.reopen, pending.ending = number in self._runs, None
            return
        tags = {
            PARENT_TAG: self._opened.run_id,
            TAG_STUDY: self.spec.study,
            TAG_TRIAL: str(number),
            TAG_GENERATION: self.generation,
            "mer.git_sha": str(self.environment["git_sha"]),
            **{f"sampled.{key}": str(value) for key, value in params.items()},
        }
        pending.create = run_name(number, params, config), tags, now_ms or clock_ms()
        pending.params = [Param(key, str(value)) for key, value in flatten(resolved).items()]

    def _log_rows(self, number: int, rows: list[Row]) -> None:
        from mlflow.entities import Metric

        known = {row["epoch"] for row in self._rows[number]}
        new = [row for row in rows if row["epoch"] not in known]
        self._rows[number] += new
        self._runs_of_batch.of(number).metrics += [
            Metric(metric_name(key), value, int(row["timestamp_ms"]), int(row["epoch"]))
            for row in new
            for key, value in row.items()
            if key not in _NOT_METRICS
        ]

    def _finish(self, number: int, outcome: Outcome, best: Row | None, reason: str, now_ms: int | None = None) -> None:
        from mlflow.entities import Metric, RunTag

        rows, config = self._rows.pop(number), self._configs.pop(number)
        folder, pending = self._trial_folder(number), self._runs_of_batch.of(number)
        pending.artifacts = write_artifacts(
            folder, config=config, rows=rows, ids=self.dev.ids, labels_N=self.dev.labels_N
        )
        if best is not None:
            stamp = int(best["timestamp_ms"])
            named = {f"best_{o.metric}": best[o.metric] for o in self.spec.objective}
            named |= {"best_epoch": best["epoch"], "epochs_done": rows[-1]["epoch"] if rows else best["epoch"]}
            pending.metrics += [
                Metric(metric_name(key), value, stamp, int(best["epoch"])) for key, value in named.items()
            ]
        pending.tags += [RunTag("mer.reason", reason)] if reason else []
        self._terminate(number, outcome, now_ms)
        pending.afterwards += [
            lambda: forget_state(folder),  # its rows are in history.csv now
            lambda: self.after_trial(number, outcome, best),
        ]

    def _terminate(self, number: int, outcome: str, now_ms: int | None = None) -> None:
        from mlflow.entities import RunTag

        pending = self._runs_of_batch.of(number)
        pending.tags.append(RunTag(TAG_OUTCOME, outcome))
        pending.ending = STATUS[outcome], now_ms or clock_ms()

    def _draw(self, trials: Sequence[Standing]) -> None:
        """Draw the confusion matrices of some trials that have ended, and add them to their runs."""
        self._flush()
        for trial in trials:
            folder = self._trial_folder(trial.number)
            if (folder / ARTIFACTS / CONFUSION).exists() or trial.number not in self._runs:
                continue
            title = f"{self.spec.study} {trial_name(trial.number)}"
            picture = draw_confusion(folder, title, int(trial.best["epoch"]))
            if picture is not None:
                self._opened.client.log_artifact(self._runs[trial.number], str(picture))

    @property
    def experiment_id(self) -> str:
        """The experiment in MLflow that has the study's name. Raises: RuntimeError before it was opened."""
        return self._opened.experiment_id

    def _trial_folder(self, number: int) -> Path:
        return trial_folder(self.folder, number)

    @property
    def _runs_of_batch(self) -> RunBatch:
        if self._batch is None:
            raise RuntimeError("the store could not be opened")
        return self._batch

    @property
    def _opened(self) -> StudyRun:
        if self._study is None:
            raise RuntimeError("the store could not be opened")
        return self._study
