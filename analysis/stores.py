"""Read a study from its stores: Optuna's journal, the study folder's files, MLflow. Writes to none of them.

The journal is copied before it is opened, because Optuna opens the file it reads for writing.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from analysis.mlflow_store import MlflowRecord, read_mlflow
from mer.errors import MerError, did_you_mean
from mer.study.folder.standings import rank, rank_key
from mer.study.paths import (
    CONFIG,
    DEV_PREDICTIONS,
    ENVIRONMENT,
    HISTORY,
    JOURNAL,
    SPACE,
    SUMMARY,
    artifacts_folder,
    is_study,
    studies_in,
)
from mer.study.search.stored_trial import STATES, params_of
from mer.terminal.spreadsheet import text_of_cell


class Aim(NamedTuple):
    """One objective: a metric, and whether larger (max) or smaller (min) is better."""

    metric: str
    mode: str


@dataclass(frozen=True)
class Range:
    """Values that a parameter could take, as the journal records the search space."""

    kind: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()
    when: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, signature: list[Any]) -> Range:
        when = signature[-1] or None
        if signature[0] == "choice":
            return cls("choice", choices=tuple(signature[1]), when=when)
        return cls(signature[0], float(signature[1]), float(signature[2]), bool(signature[3]), when=when)

    @property
    def text(self) -> str:
        if self.kind == "choice":
            return "one of " + ", ".join(plain(choice) for choice in self.choices)
        return (
            f"{self.low:g} to {self.high:g}"
            + (", log" if self.log else "")
            + (" (whole)" if self.kind == "int" else "")
        )

    @property
    def condition(self) -> str:
        return " and ".join(f"{key} = {plain(value)}" for key, value in (self.when or {}).items())


@dataclass(frozen=True)
class Trial:
    """One trial as the journal has it; `best` is its best epoch's row of metrics."""

    number: int
    state: str
    params: dict[str, Any]
    best: dict[str, float]
    reason: str
    epochs: int
    began: datetime | None
    ended: datetime | None
    frozen: FrozenTrial


@dataclass(frozen=True)
class Study:
    name: str
    folder: Path
    identity: dict[str, Any]
    trials: list[Trial]
    summary: dict[str, Any]
    space: dict[str, Any]
    mlflow: MlflowRecord

    @property
    def metric(self) -> str:
        return self.objectives[0].metric

    @cached_property
    def objectives(self) -> list[Aim]:
        """The objectives of the search; trials are ranked by the first."""
        return [Aim(objective["metric"], objective["mode"]) for objective in self.identity["objective"]]

    @cached_property
    def ranges(self) -> dict[str, Range]:
        return {name: Range.of(signature) for name, signature in self.identity["params"].items()}

    @property
    def counts(self) -> Counter[str]:
        return Counter(trial.state for trial in self.trials)

    def value(self, trial: Trial) -> float | None:
        """Return the first objective at the trial's best epoch, or at its best so far while it has not ended."""
        if self.metric in trial.best:
            return float(trial.best[self.metric])
        reported = [value for value in trial.frozen.intermediate_values.values() if value == value]
        return (max(reported) if self.larger_is_better else min(reported)) if reported else None

    @property
    def larger_is_better(self) -> bool:
        return self.objectives[0].mode == "max"

    def by_value(self, trials: list[Trial]) -> list[Trial]:
        """Sort trials by value, best first; those without a value come last."""
        values = {trial.number: self.value(trial) for trial in trials}
        scored = [trial for trial in trials if values[trial.number] is not None]
        rest = [trial for trial in trials if values[trial.number] is None]
        mode = self.objectives[0].mode
        return sorted(scored, key=lambda trial: rank_key(values[trial.number] or 0.0, trial.number, mode)) + rest

    @cached_property
    def finished(self) -> list[Trial]:
        """The finished trials, best first. Trials that were stopped early are left out."""
        return rank(self.trials, self.objectives[0])

    @property
    def best(self) -> Trial | None:
        return self.finished[0] if self.finished else None

    def trial(self, number: int) -> Trial | None:
        return next((trial for trial in self.trials if trial.number == number), None)

    def artifacts(self, trial: Trial) -> Path:
        return artifacts_folder(self.folder, trial.number)

    def config(self) -> dict[str, Any]:
        """Return the resolved configuration of the best trial, else of any trial; empty when none was kept."""
        for trial in [*self.finished[:1], *self.trials]:
            if found := read_json(self.artifacts(trial) / CONFIG):
                return found
        return {}

    def environment(self) -> dict[str, Any]:
        """Return the code, packages and command of the study, from its summary, else from any trial."""
        candidates = [self.artifacts(trial) / ENVIRONMENT for trial in [*self.finished[:1], *self.trials]]
        return self.summary.get("environment") or next((found for path in candidates if (found := read_json(path))), {})

    def history(self, trial: Trial) -> list[dict[str, float]]:
        """Read a row of metrics per epoch from a trial's artifacts, or from MLflow while the trial has not ended."""
        path = self.artifacts(trial) / HISTORY
        if path.exists():
            with path.open(newline="", encoding="utf-8") as stream:
                return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(stream)]
        return self.mlflow.history(trial.number, [self.metric, "dev_loss", "train_loss"])

    def predictions(self, trial: Trial) -> Predictions | None:
        """Read the dev predictions at the best epoch; None when they were not kept."""
        path = self.artifacts(trial) / DEV_PREDICTIONS
        if not path.exists():
            return None
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            names = [n.removeprefix("logit_") for n in reader.fieldnames or () if n.startswith("logit_")]
            rows = list(reader)
        pairs = [(text_of_cell(row["true"]), text_of_cell(row["predicted"])) for row in rows]
        return Predictions(names, pairs, [[float(row[f"logit_{name}"]) for name in names] for row in rows])


@dataclass(frozen=True)
class ClassScore:
    name: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True)
class Predictions:
    class_names: list[str]
    pairs: list[tuple[str, str]]  # true, predicted
    scores: list[list[float]]  # of every class

    def confusion(self) -> list[list[int]]:
        """Count predictions by class, (C, C); rows are true classes."""
        counts = Counter(self.pairs)
        return [[counts[true, predicted] for predicted in self.class_names] for true in self.class_names]

    def per_class(self) -> list[ClassScore]:
        """Compute precision, recall and F1 per class. 0/0 counts as 0, as everywhere (methods 8.1)."""
        counts, scores = self.confusion(), []
        for index, name in enumerate(self.class_names):
            right, support, predicted = counts[index][index], sum(counts[index]), sum(row[index] for row in counts)
            precision, recall = right / max(1, predicted), right / max(1, support)
            scores.append(
                ClassScore(name, precision, recall, 2 * right / max(1, support + predicted), support, predicted)
            )
        return scores


def find_study(named: str, studies: Path) -> Path:
    """Find a study's folder by path or by name. Raises: MerError when there is none, or it has no journal."""
    folder = Path(named) if Path(named).is_dir() else studies / named
    if not folder.is_dir():
        known = studies_in(studies)
        listing = ", ".join(known) or f"none, in {studies}/"
        raise MerError(
            named,
            f"no such study.{did_you_mean(Path(named).name, known)}",
            allowed=f"studies there are: {listing}",
            then="give a folder, or a name with --studies FOLDER",
        )
    if not is_study(folder):
        raise MerError(
            folder,
            f"holds no {JOURNAL}: the study has not handed out a trial yet, or this is no study folder",
            then="wait for its first trial, or check the path",
        )
    return folder


def load_study(folder: Path, *, with_mlflow: bool = True) -> Study:
    """Read everything of a study but its tensors. Raises: MerError when the journal is empty or broken."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="mer-report-") as temporary:
        copy = Path(shutil.copy(folder / JOURNAL, temporary))
        try:
            storage = JournalStorage(JournalFileBackend(str(copy)))
            loaded = storage.get_all_studies()
            study_id = storage.get_study_id_from_name(loaded[0].study_name) if loaded else None
            frozen = storage.get_all_trials(study_id) if study_id is not None else []
        except Exception as fault:  # Optuna raises many kinds of error for a damaged file
            raise MerError(
                folder / JOURNAL, f"Optuna cannot read it ({type(fault).__name__}: {fault})", then="restore it"
            ) from None
    if not loaded or "identity" not in loaded[0].user_attrs:
        raise MerError(folder / JOURNAL, "holds no study yet", then="wait for its first trial")
    summary, name = read_json(folder / SUMMARY), loaded[0].study_name
    generation = str(loaded[0].user_attrs.get("generation", ""))
    mlflow = read_mlflow(folder, name, generation, summary) if with_mlflow else MlflowRecord("not asked")
    return Study(
        name,
        folder,
        loaded[0].user_attrs["identity"],
        [_trial(trial) for trial in frozen],
        summary,
        read_json(folder / SPACE),
        mlflow,
    )


def _trial(frozen: FrozenTrial) -> Trial:
    ending = frozen.user_attrs.get("ending", {})
    last = ending.get("last") or [0]
    epochs = max([int(last[0]), int((ending.get("best") or {}).get("epoch", 0)), *frozen.intermediate_values])
    return Trial(
        frozen.number,
        STATES[frozen.state],
        params_of(frozen),
        ending.get("best") or {},
        ending.get("reason", ""),
        epochs,
        frozen.datetime_start,
        frozen.datetime_complete,
        frozen,
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file; one that is missing or cut off, as in a study that is being copied, gives an empty dict."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def plain(value: Any) -> str:
    """Write a parameter's value as people do."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(plain, value)) + "]"
    words = {None: "none", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)
