"""optim.ema_decay: what dev is scored with, and what is kept, is the moving average of the weights."""

from __future__ import annotations

import numpy as np
import torch
from toy_data import told, toy_config, toy_run

DECAY = 0.8


def literal_averages(run) -> dict[str, torch.Tensor]:
    """Train all epochs; the average of every trained weight, one number after another, in float64."""
    names = {id(weight): name for name, weight in run.model.named_parameters()}
    averages = {name: weight.detach().double().clone() for name, weight in run.model.named_parameters()}
    usual, steps = run.average.update, 0

    def update() -> None:
        nonlocal steps
        keep = min(DECAY, (1 + steps) / (10 + steps))
        for weight in run.model.parameters():
            name = names[id(weight)]
            averages[name] = keep * averages[name] + (1 - keep) * weight.detach().double()
        steps += 1
        usual()

    run.average.update = update
    while not run.finished:
        run.train_epoch()
    assert steps == run.step_count > 10
    return averages


def test_the_last_epochs_average_is_the_literal_one_and_is_what_is_kept():
    run = toy_run(optim__ema_decay=DECAY, training__epochs=4, training__metric="dev_loss", training__mode="min")
    wanted = literal_averages(run)
    with run.average.in_place():
        for name, weight in run.model.named_parameters():
            np.testing.assert_allclose(weight.detach().numpy(), wanted[name].numpy(), rtol=1e-5, atol=1e-6)
    assert run.member.best.row["epoch"] == 4  # the loss still falls, so the last average is the one that is kept
    kept = {name.removeprefix("model."): tensor for name, tensor in run.member.best.weights.items()}
    for name, average in wanted.items():
        np.testing.assert_allclose(kept[name].numpy(), average.numpy(), rtol=1e-5, atol=1e-6)
        assert not torch.equal(kept[name], run.model.state_dict()[name])


def test_the_kept_weights_give_the_scores_that_were_said():
    run = toy_run(optim__ema_decay=DECAY)
    while not run.finished:
        run.train_epoch()
    run.load_weights(run.member.best.weights)
    assert run.evaluate(run.data.dev).as_metrics("dev").items() <= run.member.best.row.items()


def test_averaging_changes_no_weight_that_is_trained():
    plain, averaged = toy_run(), toy_run(optim__ema_decay=DECAY)
    for run in (plain, averaged):
        run.train_epoch()
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(weight, averaged.model.state_dict()[name])
    said, other = told(plain.history[0]), told(averaged.history[0])
    assert said["train_loss"] == other["train_loss"] and said["dev_loss"] != other["dev_loss"]


def test_a_configuration_without_it_keeps_its_hash():
    assert "ema_decay" not in toy_config().model_dump()["optim"]
    assert toy_config(optim__ema_decay=0.9).model_dump()["optim"]["ema_decay"] == 0.9
