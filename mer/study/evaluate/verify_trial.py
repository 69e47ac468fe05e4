"""Train trials again from their provenance, compare every number, and list what is different here."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Literal

import torch

from mer.config import TrialConfig
from mer.data.registry import folds_of
from mer.errors import MerError, TrialFailed
from mer.study.evaluate.seeds import with_root
from mer.study.folder.environment import describe_environment
from mer.study.folder.recorded import Environment, read_config, read_environment, read_history
from mer.study.paths import ARTIFACTS, CONFIG, HISTORY, trial_folder, trial_numbers
from mer.study.preflight.feature_plan import SPLITS, ensure_config
from mer.training import Row
from mer.training.packed import Run, build_program, shape_of
from trainables.fold_data import build_trial
from trainables.shared_table import read_table

_TIMES = ("seconds", "timestamp_ms")
ROUNDING = 1e-4  # numbers this near are equal but for the order of additions, which machine and device decide
MOST_TOGETHER = 16  # trials that are trained again as one pack
Verdict = Literal["exact", "within rounding", "different"]


@dataclass(frozen=True)
class Verification:
    """Result of training a trial again.

    Args:
        number: of the trial.
        metric: the objective.
        recorded, repeated: its best value then and now.
        epochs: how many epochs were compared.
        differing: `epoch N: name was .., is ..`, one entry per number that differs by more than rounding.
        rounded: how many numbers differ by no more than rounding.
        changes: what is different in code, packages, data or machine.
    """

    number: int
    metric: str
    recorded: float
    repeated: float
    epochs: int
    differing: list[str] = field(default_factory=list)
    rounded: int = 0
    changes: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """True when no number of any epoch differs by more than rounding."""
        return not self.differing

    @property
    def verdict(self) -> Verdict:
        """How near all numbers came back."""
        return "different" if self.differing else "within rounding" if self.rounded else "exact"


@dataclass(frozen=True)
class _Recorded:
    """A trial as its study recorded it.

    Args: then: code, packages and machine.
    """

    number: int
    rows: list[Row]
    config: TrialConfig
    then: Environment

    @property
    def device(self) -> str:
        return "cuda" if self.then.device == "cuda" and torch.cuda.is_available() else "cpu"

    @property
    def threads(self) -> int:
        return self.then.threads


def verify_trial(study: Path, number: int, cache: Path, data_root: str | None = None) -> Verification:
    """Train trial `number` again, in this process, for as many epochs as it has recorded.

    Args: data_root: where the data lie now, if not where the trial says.
    Raises: MerError when no trial is recorded there, or its data are missing.
    """
    return next(verify_trials(study, [number], cache, data_root))


def verify_trials(
    study: Path, numbers: Sequence[int], cache: Path, data_root: str | None = None
) -> Iterator[Verification]:
    """Train trials again, those of one shape together, and give each result as its pack is done.

    Raises: MerError when one of them is not recorded, or its data are missing.
    """
    recorded = [_read(study, number, data_root) for number in numbers]
    key = lambda trial: (shape_of(trial.config).key, trial.device, trial.threads)  # noqa: E731
    for _, alike in groupby(sorted(recorded, key=key), key=key):
        group = list(alike)
        for first in range(0, len(group), MOST_TOGETHER):
            yield from _verify_pack(group[first : first + MOST_TOGETHER], cache)


def recorded_trials(study: Path) -> list[int]:
    """List the trials that can be verified: their configuration and at least one epoch are recorded."""
    return [n for n in trial_numbers(study) if _is_recorded(trial_folder(study, n))]


def _is_recorded(folder: Path) -> bool:
    return (folder / ARTIFACTS / CONFIG).exists() and bool(read_history(folder))


def _read(study: Path, number: int, data_root: str | None) -> _Recorded:
    folder = trial_folder(study, number)
    if not _is_recorded(folder):
        known = trial_numbers(study)
        allowed = f"{known[0]} to {known[-1]}" if known else "the folder of a study, e.g. studies/spcl-meld-text"
        raise MerError(folder, "no recorded trial is there", allowed=allowed)
    config, rows = with_root(read_config(folder), data_root), read_history(folder)
    for name in ("epoch", config.training.metric):
        if not all(name in row for row in rows):
            raise MerError(folder / ARTIFACTS / HISTORY, f"has an epoch without {name}", allowed="one in each row")
    return _Recorded(number, rows, config, read_environment(folder))


def _verify_pack(trials: Sequence[_Recorded], cache: Path) -> list[Verification]:
    """Train trials of one shape, device and number of threads again."""
    torch.set_num_threads(trials[0].threads)
    runs: list[Run] = []
    names = []
    for trial in trials:
        paths = ensure_config(trial.config, SPLITS, cache)
        train, dev = ({m: read_table(path) for m, path in paths[split].items()} for split in SPLITS)
        runs.append(build_trial(trial.config, train, dev, folds_of(trial.config.data), trial.device))
        names.append({f"{s} {m}": path.name for s in SPLITS for m, path in paths[s].items()})
    _train_together(runs, [len(trial.rows) for trial in trials])
    return [_compare(trial, run.history, of) for trial, run, of in zip(trials, runs, names, strict=True)]


def _train_together(runs: Sequence[Run], epochs: Sequence[int]) -> None:
    """Train each run for its number of epochs; one that fails has fewer."""
    live = list(zip(runs, epochs, strict=True))
    if not shape_of(runs[0].config).is_packable:
        for run, wanted in live:
            with contextlib.suppress(TrialFailed):
                while run.epoch < wanted:
                    run.train_epoch()
        return
    while live:
        program = build_program([run for run, _ in live])
        while all(run.epoch < wanted for run, wanted in live):
            failed = [isinstance(ending, TrialFailed) for ending in program()]
            if any(failed):
                live = [one for one, lost in zip(live, failed, strict=True) if not lost]
                break
        live = [(run, wanted) for run, wanted in live if run.epoch < wanted]


def _compare(trial: _Recorded, history: Sequence[Row], features: dict[str, str]) -> Verification:
    differing, rounded = [], 0
    for at, row in enumerate(trial.rows):
        repeated = history[at] if at < len(history) else {}
        for name, value in row.items():
            now = repeated.get(name, math.inf)
            if name in _TIMES or now == value or (math.isnan(now) and math.isnan(value)):
                continue
            if abs(now - value) <= ROUNDING * max(1.0, abs(value)):
                rounded += 1
            else:
                differing.append(f"epoch {row['epoch']:.0f}: {name} was {value!r}, is {repeated.get(name)!r}")
    metric, best = trial.config.training.metric, max if trial.config.training.mode == "max" else min
    return Verification(
        number=trial.number,
        metric=metric,
        recorded=best(row[metric] for row in trial.rows),
        repeated=best((row[metric] for row in history), default=float("nan")),
        epochs=len(trial.rows),
        differing=differing,
        rounded=rounded,
        changes=_changes(trial.then, features, trial.device),
    )


def _changes(then: Environment, features: dict[str, str], device: str) -> list[str]:
    """List what differs between the trial's environment and this one: code, packages, machine, feature files."""
    now = describe_environment(sys.argv) | {"device": device}
    changes = []
    for name in ("git_sha", "code_diff_sha256", "python", "device"):
        if (was := getattr(then, name)) != now[name]:
            changes.append(f"{name}: was {was}, is {now[name]}")
    for group, known in (("packages", then.packages), ("machine", then.machine)):
        for name, value in now[group].items():
            if known.get(name) != value:
                changes.append(f"{name}: was {known.get(name)}, is {value}")
    changes += [
        f"features of {split}: {name} is new: other data or backbone"
        for split, name in features.items()
        if then.features and name not in then.features
    ]
    return changes
