"""A member's record of a trial, and the checkpoint that it writes without the run that trained it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_data import toy_config

from mer.errors import MerError
from mer.training import Member


def row(epoch: int, f1: float) -> dict[str, float]:
    return {"epoch": float(epoch), "dev_weighted_f1": f1, "dev_loss": 1.0 - f1}


def member_after(scores: list[float], **training: object) -> Member:
    member = Member(toy_config(training={"epochs": 10, **training}))
    for epoch, f1 in enumerate(scores, start=1):
        if member.improves(row(epoch, f1)):
            member.keep(row(epoch, f1), {"w": torch.full((2,), f1)}, np.full((3, 2), f1, dtype=np.float32))
        member.add(row(epoch, f1))
    return member


def test_the_first_of_equal_epochs_stays_the_best():
    member = member_after([0.2, 0.5, 0.5, 0.4])
    assert member.best.row["epoch"] == 2.0 and torch.equal(member.best.weights["w"], torch.full((2,), 0.5))
    assert member.best.weights.keys() == {"w"} and member.best.logits_NC.shape == (3, 2)


def test_the_least_loss_is_best_in_mode_min():
    member = member_after([0.5, 0.2], metric="dev_loss", mode="min")
    assert member.best.row["epoch"] == 1.0


def test_kept_weights_are_copies():
    member, weight = Member(toy_config()), torch.zeros(2)
    member.keep(row(1, 0.3), {"w": weight}, np.zeros((1, 2), dtype=np.float32))
    weight += 1
    assert torch.equal(member.best.weights["w"], torch.zeros(2))


@pytest.mark.parametrize(("scores", "done"), [([0.5, 0.4], False), ([0.5, 0.4, 0.4], True), ([0.5, 0.4, 0.6], False)])
def test_patience_counts_epochs_since_the_best(scores, done):
    assert member_after(scores, patience=2).is_done() is done


def test_patience_begins_after_stage_one():
    assert not member_after([0.5, 0.4, 0.4], patience=2).is_done(patience_from=2)


def test_the_state_is_whole():
    member = member_after([0.2, 0.5, 0.4])
    member.step_count = 30
    tensors, card = member.state()
    again = Member(member.config)
    again.load_state(tensors, card)
    assert again.state()[1] == card and (again.epoch, again.step_count) == (3, 30)
    assert all(torch.equal(again.state()[0][name], tensors[name]) for name in tensors)
    assert again.best.row == member.best.row


def test_a_state_before_the_first_epoch_has_no_best():
    member = Member(toy_config())
    again = Member(toy_config())
    again.load_state(*member.state())
    assert again.best is None and again.history == []


def test_the_state_of_another_configuration_is_refused():
    with pytest.raises(MerError, match="written by another configuration"):
        Member(toy_config(seed=1)).load_state(*member_after([0.2]).state())
