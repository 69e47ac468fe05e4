"""Trials that read stored states (pooler none), in real workers: killed, resumed, exported, scored on test."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from conftest_ray import Commands, histories, wait_until

from benchmarks.kills.commands import Starter
from benchmarks.kills.fork_server import ForkServer
from mer.checkpoints import load_tensors
from mer.data.sample.corpus import write_sample

pytestmark = pytest.mark.ray
SPACE = """study: states
trainable: fusion
budget: {trials: 1, epochs: 24}
sampler: {kind: random, seed: 0}
scheduler: {kind: none}
resources: {cpu: 1, workers: 1}
fixed:
  data: {root: corpus}
  encoders:
    text: {backbone: minilm, pooler: none, layers: [4], max_states: 16}
    audio: {backbone: melstats, pooler: none, max_states: 16}
  fusion: {kind: mult, width: 16, stream_width: 8, heads: 2, layers: 1, modality_dropout: 0.2}
  optim: {batch_size: 16}
params: {optim.head_lr: {float: [1e-3, 2e-3]}}
"""


class Desk(Commands):
    """A corpus with voices, and the search space."""

    def __init__(self, home: Path, starter: Starter) -> None:
        self.home, self.starter = home, starter
        write_sample(
            home / "corpus", dialogues_per_split={"train": 6, "dev": 3, "test": 3}, modalities=("text", "audio")
        )
        (home / "states.yaml").write_text(SPACE)


@pytest.mark.faults
def test_a_study_of_states_survives_a_kill_and_is_scored_on_test(tmp_path: Path, forks: ForkServer) -> None:
    desk = Desk(tmp_path, forks)
    whole = desk.run("mer.tune", "states.yaml", "--studies", "whole")
    assert "states: 1 finished" in whole
    killed = desk.start("mer.tune", "states.yaml")
    trial = tmp_path / "studies/states/trials/00000"
    wait_until(lambda: (trial / "last.safetensors").exists() or killed.poll() is not None)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    assert 0 < load_tensors(trial / "last.safetensors")[1]["epoch"] < 24, "it was to be killed in the middle"
    desk.run("mer.tune", "states.yaml", "--resume")
    reference = tmp_path / "whole/states"
    assert histories(tmp_path / "studies/states") == histories(reference)
    ours, theirs = (load_tensors(f / "best.safetensors")[0] for f in (trial, reference / "trials/00000"))
    assert {n: t.numpy().tobytes() for n, t in ours.items()} == {n: t.numpy().tobytes() for n, t in theirs.items()}

    desk.run("mer.export", "studies/states", "--out", "exports/states")
    said = desk.run("mer.evaluate", "exports/states", "--seeds", "0", "--workers", "1")
    assert "test, " in said
    (place,) = (tmp_path / "studies").glob("eval-*/results.json")
    told = json.loads(place.read_text())
    assert told["label"].startswith("T+A--EF--MulT(") and told["test_utterances"] > 0
    assert all(0 < row["test"]["test_weighted_f1"] <= 1 for row in told["seeds"])
