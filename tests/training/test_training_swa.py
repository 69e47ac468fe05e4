"""optim.swa: the last epochs walk at a high rate, and the mean of their weights is scored and kept (SWA, 2018)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.optim.swa_utils import AveragedModel
from toy_data import loss, outcome, told, toy_config, toy_data, toy_run

from mer.training.optimizer import rate_multiplier

CONSTANT = {"optim__swa__kind": "constant", "optim__swa__start": 0.5, "training__epochs": 6}
CYCLICAL = {
    "optim__swa__kind": "cyclical", "optim__swa__start": 0.5, "optim__swa__cycle_epochs": 2,
    "optim__swa__rate": 0.8, "optim__swa__lowest_rate": 0.1, "training__epochs": 7,
}  # fmt: skip


def literal_rate(optim: Any, step: int, steps: int, epochs: int) -> float:
    """The paper's alpha by the number of the step, counted from 1 in the walk (equation 1 and section 3.1)."""
    first = int(optim.swa.start * epochs)
    if step < first * steps:
        return rate_multiplier(step, epochs * steps, optim)
    if optim.swa.kind == "constant":
        return optim.swa.rate
    i, c = step - first * steps + 1, optim.swa.cycle_epochs * steps
    t = ((i - 1) % c + 1) / c
    return (1 - t) * optim.swa.rate + t * optim.swa.lowest_rate


@pytest.mark.parametrize("settings", [CONSTANT, CYCLICAL], ids=["constant", "cyclical"])
def test_rates_and_means_are_the_literal_ones_and_those_of_torch(settings):
    run = toy_run(**settings, training__metric="dev_loss", training__mode="min")
    optim, epochs, first = run.config.optim, run.config.training.epochs, int(0.5 * settings["training__epochs"])
    cycle = settings.get("optim__swa__cycle_epochs", 1)
    reference = AveragedModel(run.model)
    snapshots: list[dict[str, torch.Tensor]] = []
    steps = run.total_steps // epochs
    while not run.finished:
        epoch = run.epoch
        run.train_epoch()
        assert run.step_count == (epoch + 1) * steps
        rate = 0.02 * literal_rate(optim, run.step_count - 1, steps, epochs)
        assert run.history[-1]["learning_rate"] == pytest.approx(rate, rel=1e-12)
        if epoch >= first and (epoch - first + 1) % cycle == 0:
            reference.update_parameters(run.model)
            snapshots.append({n: w.detach().double().clone() for n, w in run.model.named_parameters()})
    assert len(snapshots) == (epochs - first) // cycle == run.average.steps > 1
    with run.average.in_place():
        for name, weight in run.model.named_parameters():
            mean = sum(one[name] for one in snapshots) / len(snapshots)
            np.testing.assert_allclose(weight.detach().numpy(), mean.numpy(), rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(weight, reference.module.get_parameter(name), rtol=1e-6, atol=1e-7)


def test_every_step_of_a_cycle_has_its_rate():
    run = toy_run(**CYCLICAL)
    seen: list[float] = []
    usual = run.optimizer.step
    run.optimizer.step = lambda *given: seen.append(run.optimizer.param_groups[0]["lr"]) or usual(*given)
    while not run.finished:
        run.train_epoch()
    steps = run.total_steps // 7
    expected = [0.02 * literal_rate(run.config.optim, step, steps, 7) for step in range(7 * steps)]
    np.testing.assert_allclose(seen, expected, rtol=1e-12)


def test_dev_is_scored_with_the_mean_once_there_is_one():
    walked, plain = toy_run(**CONSTANT), toy_run(training__epochs=6)
    for run in (walked, plain):
        while not run.finished:
            run.train_epoch()
    assert [told(row) for row in walked.history[:3]] == [told(row) for row in plain.history[:3]]
    assert told(walked.history[3]) != told(plain.history[3])
    walked.load_weights(walked.member.best.weights)
    assert walked.evaluate(walked.data.dev).as_metrics("dev").items() <= walked.member.best.row.items()


@pytest.mark.parametrize("settings", [CONSTANT, CYCLICAL], ids=["constant", "cyclical"])
@pytest.mark.parametrize("epochs", [2, 4, 5])
def test_a_resumed_run_goes_on_exactly(settings, epochs):
    whole, cut = toy_run(**settings), toy_run(**settings)
    for _ in range(epochs):
        cut.train_epoch()
    resumed = toy_run(**settings)
    resumed.load_state(*cut.state())
    for run in (whole, resumed):
        while not run.finished:
            run.train_epoch()
    assert outcome(whole) == outcome(resumed)


def test_patience_does_not_end_a_trial_before_its_walk():
    run = toy_run(toy_data(noise=3.0), **CONSTANT | {"training__patience": 1, "optim__head_lr": 0.5})
    while not run.finished:
        run.train_epoch()
    assert run.epoch >= 3 + 1


def test_a_second_stage_walks_no_further():
    settings = loss("eacl", stage_two_epochs=2, stage_two_lr=0.01) | {"training__prediction": "nearest_anchor"}
    run = toy_run(**settings | {"training__epochs": 6, "optim__swa__kind": "constant", "optim__swa__start": 0.5})
    steps = []
    while not run.finished:
        run.train_epoch()
        steps.append(run.average.steps)
    assert steps == [0, 0, 1, 2, 0, 0]


def test_two_averages_are_refused_and_so_are_dead_keys():
    with pytest.raises(ValidationError, match=r"optim.ema_decay and optim.swa.kind 'constant' both average"):
        toy_config(optim__ema_decay=0.9, optim__swa__kind="constant")
    with pytest.raises(ValidationError, match="lowest_rate must be below rate"):
        toy_config(optim__swa__kind="cyclical", optim__swa__rate=0.1, optim__swa__lowest_rate=0.1)
    with pytest.raises(ValidationError):
        toy_config(optim__swa__kind="constant", optim__swa__cycle_epochs=2)
    with pytest.raises(ValidationError):
        toy_config(optim__swa__start=0.5)


def test_a_configuration_without_it_keeps_its_hash():
    assert "swa" not in toy_config().model_dump()["optim"]
    dumped = toy_config(optim__swa__kind="constant").model_dump()["optim"]["swa"]
    assert dumped == {"kind": "constant", "start": 0.75, "rate": 0.5}
