"""The same training on a GPU. Not part of `make test`: python -m pytest -m gpu tests/training/test_training_gpu.py"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_data import VARIANTS, outcome, toy_config, toy_data

from mer.checkpoints import load_tensors, save_tensors
from mer.training import TrainingRun

pytestmark = pytest.mark.gpu


def run_on(device: str, **dotted: object) -> TrainingRun:
    return TrainingRun(toy_config(**dotted), toy_data(), [0, 2], device)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains_repeats_and_resumes(name, tmp_path):
    assert torch.cuda.is_available()
    whole, again = run_on("cuda", **VARIANTS[name]), run_on("cuda", **VARIANTS[name])
    while not whole.finished:
        whole.train_epoch()
        again.train_epoch()
        if whole.epoch == 1:
            save_tensors(tmp_path / "first.safetensors", *whole.state())
    assert all(tensor.is_cuda for tensor in whole.model.state_dict().values())
    resumed = run_on("cuda", **VARIANTS[name])
    resumed.load_state(*load_tensors(tmp_path / "first.safetensors"))
    while not resumed.finished:
        resumed.train_epoch()
    assert outcome(again) == outcome(whole)
    assert outcome(resumed) == outcome(whole)


def test_without_dropout_the_scores_are_those_of_the_cpu():
    quiet = {"head__dropout": 0.0, "head__input_dropout": 0.0}
    scores = []
    for device in ("cpu", "cuda"):
        run = run_on(device, **quiet)
        while not run.finished:
            run.train_epoch()
        scores.append(run.predict(run.data.dev))
    np.testing.assert_allclose(scores[1], scores[0], rtol=2e-2, atol=2e-2)
