"""Packs on a GPU: the random numbers of a CPU, and what a member becomes there, alone and in company."""

from __future__ import annotations

import pytest
import torch
from packed_law import assert_equal, in_double
from test_training_packed import double_data, varied
from toy_data import toy_config

from mer.training import TrainingData, TrainingRun
from mer.training.draws import Draws
from mer.training.packed import pack_epochs

pytestmark = pytest.mark.gpu
KINDS = ("none", "supcon", "spcl", "apcl-polar", "eacl", "averaged")


def on_device(name: str, k: int, data: TrainingData, device: str) -> TrainingRun:
    """A float64 run of member k."""
    return in_double(TrainingRun(toy_config(**varied(name, k)), data, [0, 2], device=device))


def test_a_gpu_draws_the_numbers_of_a_cpu() -> None:
    drawn = []
    for device in ("cpu", "cuda"):
        draws = Draws(4, device)
        draws.begin([(seed, "epoch", 3) for seed in range(4)], 5)
        draws.step = 4
        drawn.append((draws.bits(7, 64, 512).cpu(), draws.table(32, 7, 512).cpu()))
    assert all(torch.equal(cpu, gpu) for cpu, gpu in zip(*drawn, strict=True))


@pytest.mark.parametrize("name", KINDS)
def test_a_member_becomes_on_a_gpu_what_it_becomes_on_a_cpu(name: str) -> None:
    data = double_data()
    packed = [on_device(name, k, data, "cuda") for k in range(5)]
    pack_epochs(packed)
    reference = [on_device(name, k, data, "cpu") for k in range(5)]
    pack_epochs(reference)
    for run, other in zip(packed, reference, strict=True):
        run.model.cpu()
        run.objective.cpu()
        assert_equal(run, other)
