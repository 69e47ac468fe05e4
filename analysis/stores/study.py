"""A study as read from its stores: its trials, the ranges that were searched, and the files of its trials."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial

from analysis.page.words import plain
from analysis.stores.files import BROKEN, inner, read_json, read_rows, reason
from analysis.stores.mlflow_record import MlflowRecord
from analysis.stores.predictions import Predictions, read_predictions
from analysis.stores.targets import TargetPredictions, read_targets
from mer.study.folder.standings import rank, rank_key
from mer.study.paths import CONFIG, DEV_PREDICTIONS, ENVIRONMENT, HISTORY, artifacts_folder
from mer.study.show.words import short_names


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
    """A study, read once. What its pages ask for again and again is computed once.

    Args:
        unreadable: file of a trial -> why it cannot be read; the pages name them.
    """

    name: str
    folder: Path
    identity: dict[str, Any]
    trials: list[Trial]
    summary: dict[str, Any]
    space: dict[str, Any]
    mlflow: MlflowRecord
    generation: str = ""
    unreadable: dict[str, str] = field(default_factory=dict)  # files of trials that are garbage -> why

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

    @cached_property
    def names(self) -> dict[str, str]:
        """Parameter -> its name in few characters."""
        return short_names(list(self.ranges))

    @cached_property
    def counts(self) -> Counter[str]:
        return Counter(trial.state for trial in self.trials)

    def value(self, trial: Trial) -> float | None:
        """Return the first objective at the trial's best epoch, or at its best so far while it has not ended."""
        return self._values[trial.number]

    @cached_property
    def _values(self) -> dict[int, float | None]:
        better = max if self.larger_is_better else min
        values: dict[int, float | None] = {}
        for trial in self.trials:
            told = trial.best.get(self.metric)
            reported = [told] if told is not None else list(trial.frozen.intermediate_values.values())
            finite = [float(value) for value in reported if math.isfinite(value)]
            values[trial.number] = better(finite) if finite else None
        return values

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
        for trial in [*self.finished[:1], *self.trials[:20]]:
            if found := read_json(self.artifacts(trial) / CONFIG):
                return found
        return {}

    def environment(self) -> dict[str, Any]:
        """Return the code, packages and command of the study, from its summary, else from any trial."""
        if found := inner(self.summary, "environment"):
            return found
        candidates = [self.artifacts(trial) / ENVIRONMENT for trial in [*self.finished[:1], *self.trials[:20]]]
        return next((found for path in candidates if (found := read_json(path))), {})

    @property
    def baseline(self) -> dict[str, float]:
        """Scores on dev of always naming the most frequent class of train; empty until the study has ended."""
        told = inner(self.summary, "baseline_majority")
        return {key: float(value) for key, value in told.items() if isinstance(value, int | float)}

    def history(self, trial: Trial) -> list[dict[str, float]]:
        """Read a row of metrics per epoch from a trial's artifacts, or from MLflow while the trial has not ended.

        Empty for a file that is garbage, which is noted in `unreadable`.
        """
        path = self.artifacts(trial) / HISTORY
        if not path.exists():
            return self.mlflow.history(trial.number, [self.metric, "dev_loss", "train_loss"])
        try:
            rows = [{key: float(value) for key, value in row.items() if value} for row in read_rows(path)[1]]
            if not all(math.isfinite(row["epoch"]) for row in rows):
                raise ValueError("an epoch is no number")
        except BROKEN as fault:
            self._note(trial, path, fault)
            return []
        return rows

    def predictions(self, trial: Trial) -> Predictions | None:
        """Read the dev predictions at the best epoch; None when they were not kept, or are garbage (`unreadable`)."""
        return self._predictions(trial.number)

    def targets(self, trial: Trial) -> TargetPredictions | None:
        """Read the dev predictions of a task of numbers or of several labels; None as for `predictions`."""
        path = artifacts_folder(self.folder, trial.number) / DEV_PREDICTIONS
        try:
            return read_targets(path) if path.exists() else None
        except BROKEN as fault:
            self._note(trial, path, fault)
            return None

    @property
    def task(self) -> str:
        """What is predicted: class, regression or multilabel."""
        fixed = self.space.get("fixed")
        return str(fixed.get("data.task", "class")) if isinstance(fixed, dict) else "class"

    def _predictions(self, number: int) -> Predictions | None:
        if number not in self._read:
            path = artifacts_folder(self.folder, number) / DEV_PREDICTIONS
            try:
                self._read[number] = read_predictions(path) if path.exists() else None
            except BROKEN as fault:
                self._note(self.trial(number), path, fault)
                self._read[number] = None
        return self._read[number]

    @cached_property
    def _read(self) -> dict[int, Predictions | None]:
        return {}

    def _note(self, trial: Trial | None, path: Path, fault: BaseException) -> None:
        name = f"{path.name} of trial {trial.number if trial else '?'}"
        self.unreadable[name] = reason(fault)
