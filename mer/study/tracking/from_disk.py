"""Read from a study's folder what its runs must hold in MLflow. Writes nothing, and does not ask MLflow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from optuna.trial import FrozenTrial, TrialState

from mer.config import TrialConfig, nest
from mer.errors import MerError
from mer.read_files import read_object
from mer.study.folder.recorded import read_history
from mer.study.paths import ARTIFACTS, CONFIG, DEV_PREDICTIONS, ENVIRONMENT, HISTORY, JOURNAL, SPACE, trial_folder
from mer.study.search.journal import readable_journal
from mer.study.search.stored_trial import ENDED, params_of
from mer.study.tracking.content import Content, StudyIdentity, TrialFacts, content_of
from trainables.trial_files import BEST, LAST, state_files


@dataclass(frozen=True)
class StudyOnDisk:
    """A study as its journal and its trials' folders have it.

    Args: described: its description.
    """

    folder: Path
    identity: StudyIdentity
    described: str
    trials: tuple[FrozenTrial, ...]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the journal. Raises: MerError when it cannot be read."""
        space = _json(folder / SPACE)
        name = str(space.get("study", folder.name))
        try:
            with readable_journal(folder, name) as study:
                attributes, trials = study.user_attrs, tuple(study.get_trials(deepcopy=False))
            aims = attributes["identity"]["objective"]
            metrics, mode = tuple(str(aim["metric"]) for aim in aims), str(aims[0].get("mode", "max"))
            identity = StudyIdentity(name, str(attributes["generation"]), metrics, mode)
        except (KeyError, ValueError, TypeError) as fault:
            raise MerError(
                folder / JOURNAL, f"no study {name!r} can be read from it ({type(fault).__name__})"
            ) from fault
        return cls(folder, identity, str(space.get("description", "")), trials)

    @cached_property
    def params(self) -> Mapping[str, Any]:
        """The search space's parameters, by dotted key, as `space.json` has them."""
        params = _json(self.folder / SPACE).get("params")
        return params if isinstance(params, dict) else {}

    @cached_property
    def by_number(self) -> dict[int, FrozenTrial]:
        return {trial.number: trial for trial in self.trials}

    def recorded(self) -> Iterator[int]:
        """Yield the numbers of trials that must have a run: those that ended, and those that a driver has begun."""
        for trial in self.trials:
            if trial.state != TrialState.WAITING and (trial.state in ENDED or is_begun(self.folder, trial.number)):
                yield trial.number

    def unfinished_files(self, number: int) -> bool:
        """True for an ended trial whose tables its driver was killed before writing: `--resume` makes them."""
        return self.by_number[number].state in ENDED and not has_files(self.folder, number)

    def content(self, number: int) -> Content:
        """Say what a trial's run must hold, now that nobody works on the study. Raises: OSError, ValueError."""
        return content_of(self.identity, filled(self.folder, facts_of(self.by_number[number])))


def facts_of(trial: FrozenTrial) -> TrialFacts:
    """Say what the journal knows of a trial that no driver works on; `filled` adds what its folder knows."""
    ended = trial.state in ENDED
    ending = trial.user_attrs.get("ending", {}) if ended else {}
    return TrialFacts(
        number=trial.number,
        params=params_of(trial),
        config={},
        git_sha="",
        rows=(),
        start_ms=_ms(trial.datetime_start),
        outcome=str(ending.get("outcome", "error")) if ended else "interrupted",
        best=ending.get("best"),
        reason=str(ending.get("reason", "")),
        end_ms=_ms(trial.datetime_complete) if ended else 0,
        last_epoch=int(ending["last"][0]) if ending.get("last") else None,
    )


def filled(folder: Path, trial: TrialFacts) -> TrialFacts:
    """Add what lies in a trial's folder: its rows, configuration and files.

    What is known of a trial stays where its folder has nothing of it, as on a disk that was full when it began.

    Raises: OSError; ValueError if damaged.
    """
    place = trial_folder(folder, trial.number)
    config = _json(place / ARTIFACTS / CONFIG) or dict(trial.config) or nest(dict(trial.params))
    rows = read_history(place, _model(config) if any(path.exists() for path in state_files(place)) else None)
    if trial.last_epoch is not None:  # the worker went on until it heard the verdict
        rows = [row for row in rows if row["epoch"] <= trial.last_epoch]
    return replace(
        trial,
        rows=rows,
        config=config,
        git_sha=str(_json(place / ARTIFACTS / ENVIRONMENT).get("git_sha", trial.git_sha)),
        files=artifact_files(place),
    )


def artifact_files(trial: Path) -> tuple[Path, ...]:
    """List the artifacts of a trial, without what a killed writer has left."""
    folder = trial / ARTIFACTS
    if not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()))


def is_begun(folder: Path, number: int) -> bool:
    """True when a driver has written what a trial was begun with; without it, nobody can say what its run must hold."""
    artifacts = trial_folder(folder, number) / ARTIFACTS
    return (artifacts / ENVIRONMENT).exists() and (artifacts / CONFIG).exists()


def is_half_begun(folder: Path, number: int) -> bool:
    """True when a trial has a sign of life, and not all that it was begun with."""
    place = trial_folder(folder, number)
    return not is_begun(folder, number) and ((place / ARTIFACTS / ENVIRONMENT).exists() or (place / LAST).exists())


def has_files(folder: Path, number: int) -> bool:
    """True when all artifacts of an ended trial are written: its predictions last, and then its checkpoint goes."""
    place = trial_folder(folder, number)
    tables = (place / ARTIFACTS / DEV_PREDICTIONS).exists() or not (place / BEST).exists()
    return tables and (place / ARTIFACTS / HISTORY).exists() and not (place / LAST).exists()


def _model(config: dict[str, Any]) -> TrialConfig | None:
    with contextlib.suppress(ValueError, MerError):  # the draw was refused; another version wrote it
        return TrialConfig.recorded(config)
    return None


def _json(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except FileNotFoundError:
        return {}


def _ms(when: datetime | None) -> int:
    return int(when.timestamp() * 1000) if when else 0
