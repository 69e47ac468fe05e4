"""A small real study, run as a user runs it: in its own process, through the command."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mer.config import DataConfig, TextEncoderConfig
from mer.data.sample.corpus import write_sample
from mer.features import ensure_features

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
VARYING = ("seconds", "timestamp_ms")  # of a row; everything else is decided by configuration, data and seed


@dataclass(frozen=True)
class Workshop:
    """A corpus, its features and a search space; `run` is the command line."""

    home: Path
    space: Path
    cache: Path

    def command(self, studies: Path, *arguments: str) -> list[str]:
        places = ["--studies", str(studies), "--cache", str(self.cache)]
        return [sys.executable, "-m", "mer.tune", str(self.space), *places, *arguments]

    def start(self, studies: Path, *arguments: str, own_group: bool = False) -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
        return subprocess.Popen(
            self.command(studies, *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=self.home,
            start_new_session=own_group,
        )

    def run(self, studies: Path, *arguments: str, code: int = 0) -> str:
        process = self.start(studies, *arguments)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == code, output
        return output


class Commands:
    """Commands typed in a folder of their own."""

    home: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", *arguments]
        return subprocess.Popen(command, cwd=self.home, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == code, output
        assert "Traceback" not in output
        return output


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    home = tmp_path_factory.mktemp("workshop")
    write_sample(home / "corpus", dialogues_per_split={"train": 50, "dev": 20, "test": 2})
    (home / "space.yaml").write_text(SPACE.replace("CORPUS", str(home / "corpus")))
    data, encoder = DataConfig(root=str(home / "corpus")), TextEncoderConfig()
    ensure_features(data, encoder, ("train", "dev"), cache=home / "features", progress=False)
    return Workshop(home, home / "space.yaml", home / "features")


@pytest.fixture(scope="session")
def uninterrupted(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference: the study run in one go. Returns the studies folder."""
    studies = tmp_path_factory.mktemp("uninterrupted")
    (studies / "output.txt").write_text(workshop.run(studies))
    return studies


def histories(study: Path) -> dict[int, list[dict[str, str]]]:
    """Trial number -> its epochs as written in artifacts/history.csv, without times."""
    found = {}
    for file in sorted(study.glob("trials/*/artifacts/history.csv")):
        with file.open(newline="") as stream:
            rows = [{k: v for k, v in row.items() if k not in VARYING} for row in csv.DictReader(stream)]
        found[int(file.parts[-3])] = rows
    return found


def records(studies: Path, experiment: str) -> tuple[list[Any], list[Any]]:
    """(parent runs, child runs) of one experiment in the studies' MLflow store."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{studies.resolve()}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id], max_results=1000)
    return [r for r in runs if r.data.tags["mer.trial"] == "study"], [
        r for r in runs if r.data.tags["mer.trial"] != "study"
    ]


def metric_steps(studies: Path, run_id: str, key: str) -> list[int]:
    from mlflow import MlflowClient

    history = MlflowClient(f"sqlite:///{studies.resolve()}/mlflow.db").get_metric_history(run_id, key)
    return sorted(point.step for point in history)


def wait_until(condition: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def journal_lines(study: Path) -> list[dict[str, Any]]:
    journal = study / "journal.log"
    return [json.loads(line) for line in journal.read_bytes().split(b"\n")[:-1]] if journal.exists() else []
