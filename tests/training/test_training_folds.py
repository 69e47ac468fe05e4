"""One trial over folds: each fold is the run it would be alone, the epoch is chosen by the mean, and it resumes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from toy_data import CLASSES, LAYERS, VARIANTS, split, told, toy_config

from mer.config import TrialConfig
from mer.data.folds import Fold, Folds
from mer.errors import MerError, TrialFailed
from mer.features.cache.sequences import Sequences
from mer.training import Scores, TrainingRun
from mer.training.folds import FoldedRun, mean_row
from mer.training.packed import build_program, shape_of
from trainables.fold_data import build_trial, data_of_folds, take_rows
from trainables.shared_table import SharedTable

POOL = split("all", 8)  # 72 rows
SIZES = (27, 18, 27)  # of the parts: folds of other sizes than their neighbours'


def folds() -> Folds:
    part_N = np.repeat(np.arange(3), SIZES)
    made = [
        Fold(
            f"part {k}", *(np.flatnonzero(rows) for rows in (part_N == (k + 2) % 3, part_N == (k + 1) % 3, part_N == k))
        )
        for k in range(3)
    ]
    return Folds(POOL.ids, tuple(made), tuple(map(str, part_N)), "speaker")


def tables(present_N: np.ndarray | None = None) -> dict[str, SharedTable]:
    words = np.eye(LAYERS * 12)[np.arange(3) * 5].reshape(3, LAYERS, 12).astype(np.float16)
    return {
        "text": SharedTable(
            POOL.ids, POOL.features_NLD, {"emotion": POOL.labels_N}, {"emotion": CLASSES}, {"emotion": words}, present_N
        )
    }


def config(**dotted: Any) -> TrialConfig:
    return toy_config(**{"encoders__text__layers": [0, 2], "training__epochs": 3, "data__folds": 3} | dotted)


def folded(**dotted: Any) -> FoldedRun:
    given = tables()
    run = build_trial(config(**dotted), given, given, folds())
    assert isinstance(run, FoldedRun)
    return run


def alone(number: int, **dotted: Any) -> TrainingRun:
    data, layers = data_of_folds(config(**dotted), tables(), folds())
    return TrainingRun(config(**dotted), data[number], layers)


def test_the_rows_of_a_fold_are_those_of_its_parts():
    data, _ = data_of_folds(config(), tables(), folds())
    for one, fold in zip(data, folds().folds, strict=True):
        assert one.train.ids == tuple(POOL.ids[row] for row in fold.train) and len(one.dev) == len(fold.dev)
        assert not {*one.train.ids, *one.dev.ids} & {POOL.ids[row] for row in fold.test}


@pytest.mark.parametrize("name", ["none", "spcl", "averaged-eacl-two-stages"])
def test_a_fold_is_the_run_that_it_would_be_alone(name):
    run = folded(**VARIANTS[name])
    while not run.finished:
        run.train_epoch()
    epochs = 1 if name == "averaged-eacl-two-stages" else 3  # its second stage begins from the best weights
    for number, part in enumerate(run.parts):
        by_itself = alone(number, **VARIANTS[name])
        for _ in range(epochs):
            by_itself.train_epoch()
        assert [told(row) for row in part.history[:epochs]] == [told(row) for row in by_itself.history]


def test_a_row_has_the_means_and_the_best_epoch_is_that_of_the_mean():
    run = folded(training__epochs=4)
    while not run.finished:
        run.train_epoch()
    for epoch, row in enumerate(run.history):
        values = [part.history[epoch]["dev_weighted_f1"] for part in run.parts]
        assert row["dev_weighted_f1"] == pytest.approx(np.mean(values)) and row["epoch"] == epoch + 1
        assert [row[f"dev_weighted_f1_fold_{k}"] for k in (1, 2, 3)] == values
        assert row["dev_weighted_f1_fold_sd"] == pytest.approx(np.std(values, ddof=1))
    best = run.member.best
    assert best.row["dev_weighted_f1"] == max(row["dev_weighted_f1"] for row in run.history)
    assert best.logits_NC.shape == (len(POOL), 3)
    start = 0
    for number, part in enumerate(run.parts, start=1):
        rebuilt = alone(number - 1, training__epochs=4)
        rebuilt.load_weights(
            {n.removeprefix(f"fold{number}."): t for n, t in best.tensors.items() if n.startswith(f"fold{number}.")}
        )
        stop = start + len(part.data.dev)
        np.testing.assert_array_equal(rebuilt.predict(part.data.dev), best.logits_NC[start:stop])
        assert part.member.best.row["epoch"] == best.row["epoch"]  # one epoch for all folds
        start = stop


@pytest.mark.parametrize("name", [name for name in VARIANTS if shape_of(toy_config(**VARIANTS[name])).is_packable])
def test_folds_are_members_of_packs(name):
    """Two trials in one program: each fold has the numbers that it has alone."""
    settings = VARIANTS[name] | {"training__epochs": 3}
    pair = [folded(**settings | {"seed": seed, "optim__head_lr": rate}) for seed, rate in ((0, 0.02), (3, 0.005))]
    program = build_program(pair)
    endings = [program() for _ in range(2)][-1]
    assert [ending["epoch"] for ending in endings] == [2.0, 2.0]
    for seed, rate, run in ((0, 0.02, pair[0]), (3, 0.005, pair[1])):
        by_itself = folded(**settings | {"seed": seed, "optim__head_lr": rate})
        single = build_program([by_itself])
        for _ in range(2):
            single()
        assert [told(row) for row in run.history] == [told(row) for row in by_itself.history]


@pytest.mark.parametrize("name", ["none", "spcl", "averaged-eacl-two-stages"])
@pytest.mark.parametrize("cut", [1, 2])
def test_a_resumed_trial_equals_an_uninterrupted_one(name, cut):
    settings = VARIANTS[name] | {"training__epochs": 4}
    whole, first = folded(**settings), folded(**settings)
    for _ in range(4):
        whole.train_epoch()
    for _ in range(cut):
        first.train_epoch()
    second = folded(**settings)
    second.load_state(*first.state())
    assert second.epoch == cut and not second.finished
    while not second.finished:
        second.train_epoch()
    assert [told(row) for row in second.history] == [told(row) for row in whole.history]
    one, other = whole.state()[0], second.state()[0]
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_patience_counts_the_mean():
    run = folded(training__epochs=40, training__patience=2, optim__head_lr=0.05)
    while not run.finished:
        run.train_epoch()
    assert run.epoch == run.member.best.row["epoch"] + 2 < 40


def test_a_fold_that_fails_names_itself():
    run = folded(optim__head_lr=1.0)
    with torch.no_grad():
        for weight in run.parts[1].model.parameters():
            weight.fill_(float("nan"))
    with pytest.raises(TrialFailed, match=r"fold 2: the loss became nan"):
        run.train_epoch()
    other = folded()
    with torch.no_grad():
        for weight in other.parts[2].model.parameters():
            weight.fill_(float("nan"))
    (ending,) = build_program([other])()
    assert isinstance(ending, TrialFailed) and str(ending).startswith("fold 3: ")


def test_clips_that_are_not_there_stay_away_in_their_folds():
    present_N = np.ones(len(POOL), dtype=bool)
    present_N[[0, 30, 71]] = False
    data, _ = data_of_folds(config(), tables(present_N), folds())
    for one, fold in zip(data, folds().folds, strict=True):
        assert one.train.present_N is not None
        assert one.train.present_N.tolist() == present_N[fold.train].tolist()


def test_tables_of_other_rows_are_refused():
    other = Folds(POOL.ids[::-1], folds().folds, folds().groups, "speaker")
    with pytest.raises(MerError, match="other rows than the folds"):
        data_of_folds(config(), tables(), other)


def test_what_some_fold_does_not_have_is_left_out():
    rows = [
        {"epoch": 1.0, "a": 1.0, "only": 2.0, "seconds": 1.0, "timestamp_ms": 5.0},
        {"epoch": 1.0, "a": 3.0, "seconds": 2.0, "timestamp_ms": 6.0},
    ]
    assert mean_row(rows, "a") == {
        "epoch": 1.0, "a": 2.0, "seconds": 3.0, "timestamp_ms": 6.0, "a_fold_1": 1.0, "a_fold_2": 3.0,
        "a_fold_sd": pytest.approx(2**0.5),
    }  # fmt: skip


def test_dev_of_all_folds_is_scored_together():
    run = folded()
    run.train_epoch()
    labels = POOL.labels_N[folds().dev_rows]
    assert Scores(run.member.best.logits_NC, labels, CLASSES).accuracy > 0.5


@pytest.mark.parametrize("dialogue", ["none", "gru"])
def test_fused_and_dialogues_over_folds(dialogue):
    """Several modalities, some clips absent, whole dialogues: each fold is the run it would be alone."""
    rng = np.random.default_rng(3)
    there = rng.random(len(POOL)) > 0.2
    given = tables() | {
        "audio": SharedTable(
            POOL.ids, rng.standard_normal((len(POOL), 1, 7)).astype(np.float16), {"emotion": POOL.labels_N},
            {"emotion": CLASSES}, {}, there,
        )
    }  # fmt: skip
    settings = {"encoders__audio__backbone": "melstats", "fusion__kind": "concat", "fusion__width": 16}
    made = config(**settings, dialogue__kind=dialogue, loss__contrastive__kind="none", training__epochs=2)
    run = build_trial(made, given, given, folds())
    program = build_program([run])
    for _ in range(2):
        (ending,) = program()
        assert not isinstance(ending, TrialFailed), ending
    data, layers = data_of_folds(made, given, folds())
    for part, own in zip(run.parts, data, strict=True):
        by_itself = TrainingRun(made, own, layers)
        single = build_program([by_itself])
        for _ in range(2):
            single()
        assert [told(row) for row in part.history] == [told(row) for row in by_itself.history]
    assert "dev_weighted_f1_without_audio" in run.history[0]


def test_sequences_of_tuned_encoders_are_cut_by_rows():
    values, offsets = np.arange(72 * 2, dtype=np.int32), np.arange(0, 146, 2).astype(np.int64)
    spans = np.tile(np.array([[0, 2]], dtype=np.int32), (72, 1))
    table = SharedTable(
        POOL.ids, np.empty((72, 0, 5), np.float16), {"emotion": POOL.labels_N}, {"emotion": CLASSES}, {}, None, None,
        Sequences(values, offsets, spans), 3,
    )  # fmt: skip
    rows = np.array([3, 70])
    some = take_rows(table, rows)
    assert some.sequences is not None and some.sequences.values.tolist() == [6, 7, 140, 141]
    assert some.ids == (POOL.ids[3], POOL.ids[70]) and some.hidden_states == 3 and len(some.split("emotion")) == 2
