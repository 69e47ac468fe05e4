"""A small real study that takes seconds: its corpus, features and search space, and the command that runs it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.kills.commands import Running, Starter, typed
from mer.console import RAY_ON_LOOPBACK

STUDY = "small"
SPACE = """
study: small
trainable: text
budget: {trials: 6, epochs: 6}
sampler: {kind: tpe, seed: 3, startup_trials: 3}
scheduler: {kind: asha, grace_epochs: 2, reduction: 2}
resources: {cpu: 1, workers: 1, pack: 1}
fixed:
  data: {root: CORPUS}
  encoders: {text: {backbone: minilm, layers: [2, 4, 6]}}
  loss: {contrastive: {kind: spcl, pool_size: 64, support_size: 8}}
  optim: {batch_size: 8}
params:
  optim.head_lr: {float: [1e-4, 1e-2], log: true}
  loss.contrastive.temperature: {float: [0.03, 0.3], log: true}
  head.hidden: {choice: [256, 512]}
points:
  - {optim.head_lr: 1e-3, loss.contrastive.temperature: 0.08, head.hidden: 256}
"""


@dataclass(frozen=True)
class Workshop:
    """A corpus, its features and a search space; `run` is the command line.

    Args:
        home: folder in which commands are typed.
        space: the search space's file.
        cache: folder of feature files.
        starter: how commands are started.
        settings: environment variables of commands, beside those of this process.
        database: an empty database of MLflow's, which takes two seconds to make: new folders of studies begin with a
            copy; None: commands make their own.
    """

    home: Path
    space: Path
    cache: Path
    starter: Starter = typed
    settings: Mapping[str, str] = field(default_factory=dict)
    database: Path | None = None

    @classmethod
    def at(cls, home: Path, starter: Starter = typed) -> Workshop:
        """Return the workshop that `make_workshop` has made there."""
        return cls(home, home / "space.yaml", home / "features", starter)

    def arguments(self, studies: Path, *more: str) -> list[str]:
        return [str(self.space), "--studies", str(studies), "--cache", str(self.cache), *more]

    def command(self, studies: Path, *more: str) -> list[str]:
        """Return the words that are typed."""
        return [sys.executable, "-m", "mer.tune", *self.arguments(studies, *more)]

    def environment(self) -> dict[str, str]:
        """Return this process's environment without what it says of MLflow's store and of where Ray listens."""
        left_out = ("MLFLOW_TRACKING_URI", RAY_ON_LOOPBACK[0])
        return {name: value for name, value in os.environ.items() if name not in left_out} | dict(self.settings)

    def start(self, studies: Path, *more: str, own_group: bool = False) -> Running:
        if self.database is not None and not (studies / "mlflow.db").exists():
            begin_with(self.database, studies)
        return self.starter(
            "mer.tune", self.arguments(studies, *more), cwd=self.home, environment=self.environment(),
            own_group=own_group,
        )  # fmt: skip

    def run(self, studies: Path, *more: str, code: int = 0) -> str:
        """Run the command to its end and return what it printed. Raises: AssertionError for another exit code."""
        process = self.start(studies, *more)
        output, _ = process.communicate()
        assert process.returncode == code, output
        return output


def begin_with(database: Path, *folders: Path) -> None:
    """Put a copy of an empty database into folders of studies, which are made where they are not there."""
    for studies in folders:
        studies.mkdir(parents=True, exist_ok=True)
        shutil.copy(database, studies / "mlflow.db")


def make_workshop(home: Path, starter: Starter = typed, train: int = 50, dev: int = 20) -> Workshop:
    """Write the corpus, extract its features, write the search space. Args: train, dev: dialogues of the splits."""
    from mer.config import DataConfig, TextEncoderConfig
    from mer.data.sample.corpus import write_sample
    from mer.features import ensure_features

    write_sample(home / "corpus", dialogues_per_split={"train": train, "dev": dev, "test": 2})
    (home / "space.yaml").write_text(SPACE.replace("CORPUS", str(home / "corpus")))
    data, encoder = DataConfig(root=str(home / "corpus")), TextEncoderConfig()
    ensure_features(data, encoder, ("train", "dev"), cache=home / "features", progress=False)
    return Workshop.at(home, starter)
