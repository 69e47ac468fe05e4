"""The folds of a trial as one program: each has the digits that it has alone, whatever the sizes of the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from target_data import LOSSES, NAMES, targets_of
from test_training_folds import POOL, alone, config, folded, folds, tables
from toy_data import VARIANTS, told, toy_config

from mer.errors import TrialFailed
from mer.training import TrainingRun
from mer.training.folds import FoldedRun
from mer.training.packed import build_program, shape_of
from mer.training.packed.folds import FoldsPack, share_a_program
from trainables.fold_data import build_trial, data_of_folds
from trainables.shared_table import SharedTable

AVERAGES = {
    "moving": {"optim__ema_decay": 0.9},
    "walked": {"optim__swa__kind": "cyclical", "optim__swa__start": 0.3},
    "one-step-epochs": {"optim__batch_size": 64},
    "common-last": {"optim__batch_size": 9},
}
SETTINGS = VARIANTS | AVERAGES


def can(name: str) -> bool:
    kind = SETTINGS[name].get("loss__contrastive__kind", "none")
    return kind not in ("spcl", "eacl") and shape_of(toy_config(**SETTINGS[name])).is_packable


def assert_equal(part: TrainingRun, by_itself: TrainingRun) -> None:
    assert [told(row) for row in part.history] == [told(row) for row in by_itself.history]
    mine, other = part.weights(), by_itself.weights()
    assert [name for name in other if not torch.equal(mine[name], other[name])] == []


@pytest.mark.parametrize("name", [name for name in SETTINGS if can(name)])
def test_a_fold_has_the_digits_that_it_has_alone(name: str) -> None:
    settings = SETTINGS[name] | {"training__epochs": 3}
    run = folded(**settings)
    assert share_a_program([[part] for part in run.parts])
    program = build_program([run])
    for _ in range(2):
        program()
    for number, part in enumerate(run.parts):
        by_itself = alone(number, **settings)
        single = build_program([by_itself])
        for _ in range(2):
            single()
        assert_equal(part, by_itself)


def test_two_trials_of_several_folds_share_one_program() -> None:
    settings = [{"seed": 0, "optim__head_lr": 0.02}, {"seed": 3, "optim__head_lr": 0.005, "head__dropout": 0.5}]
    pair = [folded(**one) for one in settings]
    program = build_program(pair)
    program()
    program()
    for run, own in zip(pair, settings, strict=True):
        for number, part in enumerate(run.parts):
            by_itself = alone(number, **own)
            single = build_program([by_itself])
            single()
            single()
            assert_equal(part, by_itself)


@pytest.mark.parametrize("kind", LOSSES)
def test_numbers_and_labels_of_folds(kind: str) -> None:
    task = LOSSES[kind]["data__task"]
    labels = targets_of(POOL.labels_N, task)
    table = SharedTable(POOL.ids, POOL.features_NLD, {"emotion": labels}, {"emotion": NAMES[task]}, {}, None)
    made = config(**LOSSES[kind], training__epochs=2)
    run = build_trial(made, {"text": table}, {"text": table}, folds())
    assert isinstance(run, FoldedRun) and share_a_program([[part] for part in run.parts])
    program = build_program([run])
    for _ in range(2):
        (ending,) = program()
        assert not isinstance(ending, TrialFailed), ending
    data, layers = data_of_folds(made, {"text": table}, folds())
    for part, own in zip(run.parts, data, strict=True):
        by_itself = TrainingRun(made, own, layers)
        single = build_program([by_itself])
        for _ in range(2):
            single()
        assert_equal(part, by_itself)


def test_it_goes_on_from_a_checkpoint_in_another_company() -> None:
    whole, first = folded(training__epochs=4), folded(training__epochs=4)
    program = build_program([whole])
    for _ in range(4):
        program()
    build_program([first])()
    second = folded(training__epochs=4)
    second.load_state(*first.state())
    program = build_program([second, folded(training__epochs=4, seed=9)])
    for _ in range(3):
        program()
    assert [told(row) for row in second.history] == [told(row) for row in whole.history]
    for mine, other in zip(second.parts, whole.parts, strict=True):
        assert_equal(mine, other)


def test_steps_are_common_while_all_have_whole_batches() -> None:
    """27, 27 and 18 rows in batches of 8: two common steps, then 8 and 3, 8 and 3, and 2."""
    run = folded()
    together = FoldsPack([[part] for part in run.parts])
    seen: list[tuple[int, int]] = []
    for place in (together, *together.folds):
        step = place.step
        place.step = lambda rows, *others, step=step: (seen.append(tuple(rows.shape)), step(rows, *others))[1]  # type: ignore
    together.train_epoch()
    assert seen == [(3, 8), (3, 8), (1, 8), (1, 3), (1, 8), (1, 3), (1, 2)]
    assert [part.step_count for part in run.parts] == [4, 4, 3]


def test_what_steps_apart() -> None:
    for name in ("spcl", "eacl"):
        assert not share_a_program([[part] for part in folded(**VARIANTS[name]).parts])
    one = folded()
    assert not share_a_program([one.parts[:1]]), "a single fold"
    many = [[folded(seed=seed).parts[fold] for seed in range(3)] for fold in range(3)]
    assert not share_a_program(many), "nine models are more than a worker takes at once on a CPU"


def test_a_fold_that_fails_ends_its_trial_alone() -> None:
    good, bad = folded(), folded(seed=1)
    with torch.no_grad():
        for weight in bad.parts[1].model.parameters():
            weight.fill_(float("nan"))
    fine, failed = build_program([good, bad])()
    assert isinstance(failed, TrialFailed) and str(failed).startswith("fold 2: ")
    by_itself = folded()
    (alone_row,) = build_program([by_itself])()
    assert isinstance(fine, dict) and told(fine) == told(alone_row)  # type: ignore[arg-type]


def test_clips_that_are_absent_in_some_folds() -> None:
    present_N = np.ones(len(POOL), dtype=bool)
    present_N[[0, 3, 30, 31, 71]] = False
    given: dict[str, Any] = tables(present_N)
    made = config(training__epochs=2)
    run = build_trial(made, given, given, folds())
    assert isinstance(run, FoldedRun)
    program = build_program([run])
    for _ in range(2):
        program()
    data, layers = data_of_folds(made, given, folds())
    for part, own in zip(run.parts, data, strict=True):
        by_itself = TrainingRun(made, own, layers)
        single = build_program([by_itself])
        for _ in range(2):
            single()
        assert_equal(part, by_itself)
