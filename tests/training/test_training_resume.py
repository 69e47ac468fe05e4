"""A run that was stopped and taken up again is the run that was never stopped, to the last bit."""

from __future__ import annotations

import pytest
import torch
from toy_data import VARIANTS, outcome, toy_config, toy_data, toy_run

from mer.checkpoints import load_tensors, save_tensors
from mer.errors import MerError
from mer.training import TrainingRun


@pytest.mark.parametrize("name", VARIANTS)
def test_resume_after_any_epoch_equals_uninterrupted(name, tmp_path):
    whole = toy_run(**VARIANTS[name])
    while not whole.finished:
        whole.train_epoch()
        save_tensors(tmp_path / f"{whole.epoch}.safetensors", *whole.state())
    assert whole.epoch >= 2
    expected = outcome(whole)
    for epoch in range(1, whole.epoch + 1):
        resumed = toy_run(**VARIANTS[name])
        resumed.load_state(*load_tensors(tmp_path / f"{epoch}.safetensors"))
        assert resumed.epoch == epoch and resumed.finished == (epoch == whole.epoch)
        while not resumed.finished:
            resumed.train_epoch()
        assert outcome(resumed) == expected, f"resumed after epoch {epoch}"


@pytest.mark.parametrize("name", ["learned-standardize", "spcl-curriculum", "apcl-polar", "eacl-two-stages"])
def test_runs_that_alternate_in_one_process_do_not_meet(name):
    def finish(*runs: TrainingRun) -> list[dict[str, object]]:
        while not all(run.finished for run in runs):
            for run in runs:
                if not run.finished:
                    run.train_epoch()
        return [outcome(run) for run in runs]

    other = {"seed": 5, "loss__contrastive__kind": "spcl", "training__prediction": "nearest_center"}
    alone = finish(toy_run(**VARIANTS[name])) + finish(toy_run(**other))
    assert finish(toy_run(**VARIANTS[name]), toy_run(**other)) == alone
    twins = finish(toy_run(**VARIANTS[name]), toy_run(**VARIANTS[name]))
    assert twins == [alone[0], alone[0]]
    shared = toy_data()
    assert finish(toy_run(shared, **VARIANTS[name]), toy_run(shared, **other)) == alone


def test_the_callers_random_state_is_untouched_and_unread():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    run = toy_run(**VARIANTS["spcl-curriculum"])
    run.train_epoch()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = toy_run(**VARIANTS["spcl-curriculum"])
    again.train_epoch()
    assert outcome(again) == outcome(run)
    third = toy_run(seed=1, **VARIANTS["spcl-curriculum"])
    third.train_epoch()
    assert outcome(third) != outcome(run)


def test_a_state_is_a_copy():
    run = toy_run(**VARIANTS["spcl"])
    run.train_epoch()
    tensors, card = run.state()
    frozen = {name: tensor.clone() for name, tensor in tensors.items()}
    twins = [toy_run(**VARIANTS["spcl"]) for _ in range(2)]
    for twin in twins:
        twin.load_state(tensors, card)
    while not run.finished:
        run.train_epoch()
        twins[0].train_epoch()
    assert len(card["history"]) == 1 and all(torch.equal(tensors[name], frozen[name]) for name in frozen)
    assert outcome(twins[0]) == outcome(run)
    assert twins[1].epoch == 1
    while not twins[1].finished:
        twins[1].train_epoch()
    assert outcome(twins[1]) == outcome(run)


def test_a_state_of_another_configuration_is_refused_but_data_may_move():
    run = toy_run()
    run.train_epoch()
    with pytest.raises(MerError, match="another configuration"):
        toy_run(seed=1).load_state(*run.state())
    moved = toy_run(data__root="/somewhere/else")
    moved.load_state(*run.state())
    assert moved.epoch == 1
    assert TrainingRun(toy_config(), toy_data(), [0, 2]).member.config_sha256 == run.member.config_sha256
