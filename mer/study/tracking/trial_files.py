"""The driver's files of a trial: what it was begun with, its tables when it has ended, its picture at last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from mer.config import DataConfig, TrialConfig, nest
from mer.errors import MerError
from mer.files import write_json
from mer.read_files import read_object
from mer.study.folder.artifacts import draw_picture, write_artifacts
from mer.study.folder.standings import Standing
from mer.study.paths import ARTIFACTS, CONFIG, ENVIRONMENT, picture_of, trial_folder, trial_name
from mer.study.search.stored_trial import ENDED
from mer.study.space.spec import StudySpec
from mer.study.tracking.content import TrialFacts
from mer.study.tracking.from_disk import artifact_files, facts_of, filled
from trainables.trial_files import forget_state


@dataclass(frozen=True)
class DevSplit:
    """Ids and true labels of dev, for the tables of every trial; and the data, which say what is predicted."""

    ids: tuple[str, ...]
    labels_N: np.ndarray
    data: DataConfig = field(default_factory=DataConfig)


@dataclass(frozen=True)
class TrialFiles:
    """Writes into `trials/<number>/artifacts/` of one study.

    Args:
        folder: of the study.
        environment: JSON-able description of code, packages and machine.
    """

    spec: StudySpec
    folder: Path
    environment: Mapping[str, Any]
    dev: DevSplit

    def begun_with(
        self, number: int, params: Mapping[str, Any], config: TrialConfig | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return configuration and environment with which a trial was begun: those on disk, else those of this driver.

        Args: config: None when the draw was refused.
        """
        folder = trial_folder(self.folder, number) / ARTIFACTS
        resolved = _known(folder / CONFIG) or (config.model_dump(mode="json") if config else nest(dict(params)))
        return resolved, _known(folder / ENVIRONMENT) or {**self.environment, "seed": resolved.get("seed")}

    def write_beginning(self, number: int, config: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        """Write what a trial was begun with, unless it is there. Raises: OSError."""
        folder = trial_folder(self.folder, number) / ARTIFACTS
        for name, value in ((CONFIG, config), (ENVIRONMENT, environment)):
            if not (folder / name).exists():
                write_json(folder / name, value)

    def write_ending(self, trial: TrialFacts, environment: Mapping[str, Any]) -> TrialFacts:
        """Write all files of a trial that has ended; then its checkpoint goes. Returns it with them.

        Raises: OSError.
        """
        self.write_beginning(trial.number, trial.config, environment)
        folder = trial_folder(self.folder, trial.number)
        dev = self.dev
        write_artifacts(
            folder, config=trial.config, rows=list(trial.rows), ids=dev.ids, labels_N=dev.labels_N, data=dev.data
        )
        forget_state(folder)  # its rows are in history.csv now
        return replace(trial, files=artifact_files(folder))

    def rebuild(self, trial: FrozenTrial) -> TrialFacts:
        """Write the files that a killed driver did not: of a trial that has ended, all; else what it was begun with.

        Raises: OSError.
        """
        facts = facts_of(trial)
        try:
            config: TrialConfig | None = self.spec.trial_config(dict(facts.params))
        except ValueError:  # the draw was refused
            config = None
        resolved, environment = self.begun_with(facts.number, facts.params, config)
        self.write_beginning(facts.number, resolved, environment)
        full = filled(self.folder, facts)
        return self.write_ending(full, environment) if trial.state in ENDED else full

    def is_drawn(self, number: int) -> bool:
        """True when a trial has its picture."""
        return (trial_folder(self.folder, number) / ARTIFACTS / picture_of(self.dev.data.task)).exists()

    def draw(self, trial: Standing) -> bool:
        """Draw the picture of a trial that finished. Returns False when it has no predictions."""
        title, folder = f"{self.spec.study} {trial_name(trial.number)}", trial_folder(self.folder, trial.number)
        return draw_picture(folder, title, int(trial.best["epoch"]), self.dev.data) is not None


def _known(path: Path) -> dict[str, Any]:
    """Read a JSON object; {} where it is absent or damaged."""
    try:
        return read_object(path)
    except (OSError, MerError):
        return {}
