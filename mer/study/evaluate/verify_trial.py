"""Train a trial again from its provenance, compare every number, and list what is different here."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mer.config import TrialConfig
from mer.errors import MerError
from mer.study.evaluate.seeds import with_root
from mer.study.folder.artifacts import read_history
from mer.study.folder.environment import describe_environment
from mer.study.paths import ARTIFACTS, CONFIG, ENVIRONMENT, trial_folder, trial_numbers
from mer.study.preflight.feature_plan import SPLITS, ensure_config
from mer.training import Row, build_run
from trainables.shared_features import as_training_data, read_table

_TIMES = ("seconds", "timestamp_ms")


@dataclass(frozen=True)
class Verification:
    """Result of training a trial again.

    Args:
        metric: the objective.
        recorded, repeated: its best value then and now.
        epochs: how many epochs were compared.
        differing: `epoch N: name was .., is ..`, one entry per number that differs.
        changes: what is different in code, packages, data or machine.
    """

    metric: str
    recorded: float
    repeated: float
    epochs: int
    differing: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """True when every number of every epoch is equal."""
        return not self.differing


def verify_trial(study: Path, number: int, cache: Path, data_root: str | None = None) -> Verification:
    """Train trial `number` again, in this process, for as many epochs as it has recorded.

    Args: data_root: where the data lie now, if not where the trial says.
    Raises: MerError when no trial is recorded there, or its data are missing.
    """
    folder = trial_folder(study, number)
    rows = read_history(folder)
    if not rows or not (folder / ARTIFACTS / CONFIG).exists():
        known = trial_numbers(study)
        allowed = f"{known[0]} to {known[-1]}" if known else "the folder of a study, e.g. studies/spcl-meld-text"
        raise MerError(folder, "no recorded trial is there", allowed=allowed)
    config = with_root(TrialConfig.model_validate(json.loads((folder / ARTIFACTS / CONFIG).read_text())), data_root)
    then: dict[str, Any] = json.loads((folder / ARTIFACTS / ENVIRONMENT).read_text())
    paths = ensure_config(config, SPLITS, cache)
    train, dev = ({m: read_table(path) for m, path in paths[split].items()} for split in SPLITS)
    torch.set_num_threads(int(then.get("threads", 1)))
    data, layers = as_training_data(config, train, dev)
    device = "cuda" if then.get("device") == "cuda" and torch.cuda.is_available() else "cpu"
    run = build_run(config, data, layers, device)
    differing: list[str] = []
    for row in rows:
        differing += _differences(row, run.train_epoch())
    metric, best = config.training.metric, max if config.training.mode == "max" else min
    return Verification(
        metric=metric,
        recorded=best(row[metric] for row in rows),
        repeated=best(row[metric] for row in run.history),
        epochs=len(rows),
        differing=differing,
        changes=_changes(then, {f"{s} {m}": path.name for s in SPLITS for m, path in paths[s].items()}, device),
    )


def _differences(recorded: Row, repeated: Row) -> list[str]:
    """List the numbers of one epoch that differ; times are left out."""
    return [
        f"epoch {recorded['epoch']:.0f}: {name} was {value!r}, is {repeated.get(name)!r}"
        for name, value in recorded.items()
        if name not in _TIMES and repeated.get(name) != value
    ]


def _changes(then: dict[str, Any], features: dict[str, str], device: str) -> list[str]:
    """List what differs between the trial's environment and this one: code, packages, machine, feature files."""
    now = describe_environment(sys.argv) | {"device": device}
    changes = []
    for name in ("git_sha", "code_diff_sha256", "python", "device"):
        if then.get(name) != now[name]:
            changes.append(f"{name}: was {then.get(name)}, is {now[name]}")
    for group in ("packages", "machine"):
        for name, value in now[group].items():
            if then.get(group, {}).get(name) != value:
                changes.append(f"{name}: was {then.get(group, {}).get(name)}, is {value}")
    known = then.get("features", [])
    changes += [
        f"features of {split}: {name} is new: other data or backbone"
        for split, name in features.items()
        if known and name not in known
    ]
    return changes
