"""Trials that tune encoders, in real workers: shared weights stay as they are, a kill costs nothing."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from audio_backbones import save_backbone
from conftest_ray import Workshop, histories, wait_until

from benchmarks.kills.fork_server import ForkServer
from mer.checkpoints import load_tensors
from mer.config import TrialConfig
from mer.data.sample.corpus import write_sample
from mer.features.backbone.files import locate
from mer.features.partial import base_weights
from mer.study.cluster.connect import start_ray
from mer.study.preflight.feature_plan import SPLITS, ensure_config

pytestmark = pytest.mark.ray

SPACE = """
study: tuned
trainable: fusion
budget: {trials: 2, epochs: 4}
sampler: {kind: random, seed: 3}
scheduler: {kind: none}
resources: {cpu: 1, workers: 1}
fixed:
  data: {root: CORPUS}
  encoders:
    text: {backbone: minilm, mode: lora, freeze_layers: 4, lora: {rank: 4}}
    audio: {backbone: BACKBONE, mode: lora, freeze_layers: 1, lora: {rank: 4}}
  fusion: {kind: concat, width: 16, modality_dropout: 0.2}
  optim: {batch_size: 8}
params:
  optim.encoder_lr: {float: [1e-4, 1e-2], log: true}
"""


@pytest.fixture(scope="module")
def tuning(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer, database: Path) -> Workshop:
    home = tmp_path_factory.mktemp("tuning")
    write_sample(home / "corpus", dialogues_per_split={"train": 12, "dev": 3}, modalities=("text", "audio"))
    backbone = save_backbone("wavlm", home / "tiny")
    space = SPACE.replace("CORPUS", str(home / "corpus")).replace("BACKBONE", str(backbone.folder))
    (home / "space.yaml").write_text(space)
    return replace(Workshop.at(home, forks), database=database)


@pytest.mark.faults
def test_a_study_killed_in_a_trial_goes_on_to_the_same_numbers(tuning: Workshop, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    output = tuning.run(whole)
    assert "tuned: 2 finished" in output and "Traceback" not in output
    process = tuning.start(killed)
    last = killed / "tuned/trials/00000/last.safetensors"
    wait_until(lambda: last.exists() or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    tensors, card = load_tensors(last)
    assert 0 < card["epoch"] < 4, "the kill came too late to mean anything"
    for modality in ("text", "audio"):
        encoder = [name for name in tensors if name.startswith(f"model.encoders.{modality}.")]
        assert encoder and all(".lora_" in name for name in encoder), "a checkpoint holds what is trained"
    tuning.run(killed, "--resume")
    assert histories(killed / "tuned") == histories(whole / "tuned")
    assert all(len(rows) == 4 for rows in histories(whole / "tuned").values())


def test_workers_map_one_copy_of_the_weights_and_never_write_to_it(tuning: Workshop) -> None:
    import ray

    from trainables.shared_features import SharedFeatures

    text = {"backbone": "minilm", "mode": "lora", "freeze_layers": 4}
    config = TrialConfig.model_validate(
        {"data": {"root": str(tuning.home / "corpus")}, "encoders": {"text": text}, "optim": {"batch_size": 8}}
    )
    paths = {split: files["text"] for split, files in ensure_config(config, SPLITS, tuning.cache).items()}
    encoder = config.encoders.text
    assert encoder is not None

    @ray.remote(num_cpus=0)
    def train(features: SharedFeatures, files: dict[str, str]) -> tuple[list[bool], int]:
        """Which arrays could be written to, and how many weights of the model lie in the shared memory."""
        from mer.training import build_run

        data, layers = features.training_data(config, {"text": files})
        run = build_run(config, data, layers)
        run.train_epoch()
        base = data.base["text"]
        places = {array.__array_interface__["data"][0] for array in base.values()}
        mapped = sum(weight.data_ptr() in places for weight in run.model.tuned["text"].parameters())
        return [array.flags.writeable for array in base.values()], mapped

    start_ray(None, 200 * 2**20)
    try:
        features = SharedFeatures.put(list(paths.values()), [encoder])
        files = {split: str(path) for split, path in paths.items()}
        expected = base_weights(encoder, locate(encoder, weights=True), 4)
        for writeable, mapped in ray.get([train.remote(features, files) for _ in range(2)]):
            assert not any(writeable) and mapped == len(expected)
        stored = features.training_data(config, {"text": files})[0].base["text"]
        assert stored.keys() == expected.keys()
        assert all(np.array_equal(stored[name], array) for name, array in expected.items())
    finally:
        ray.shutdown()
