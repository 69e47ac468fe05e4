"""Self-MM in a run: labels of modalities move, are part of a checkpoint, and leave out what is absent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from target_data import with_targets
from test_training_packed_fused import fused_data
from toy_data import told, toy_config

from mer.data.types import dialogue_numbers
from mer.losses.unimodal import FUSED
from mer.training import FusedSplit, TrainingData, TrainingRun
from mer.training.packed import shape_of

LAYERS = {"text": [0, 2], "audio": [1], "video": [2]}
OWN = {
    "fusion__kind": "self_mm", "fusion__width": 16, "fusion__own_width": 8, "fusion__modality_dropout": 0.2,
    "encoders__text__layers": [0, 2], "encoders__audio__layers": [1], "encoders__video__layers": [2],
    "training__epochs": 5, "head__hidden": 0,
}  # fmt: skip
TASKS = ("class", "regression", "multilabel")


def run_of(task: str = "class", data: TrainingData | None = None, **dotted: Any) -> TrainingRun:
    data = data or fused_data(exact=False)
    if task != "class":
        data = with_targets(data, task)
    return TrainingRun(toy_config(**OWN | {"data__task": task} | dotted), data, LAYERS)


def train(run: TrainingRun, epochs: int = 99) -> TrainingRun:
    while not run.finished and run.epoch < epochs:
        run.train_epoch()
    return run


def kept(run: TrainingRun) -> dict[str, torch.Tensor]:
    assert run.unimodal is not None
    return run.unimodal.labels.tensors()


@pytest.mark.parametrize("task", TASKS)
def test_a_run_that_goes_on_from_a_checkpoint_has_the_same_labels_and_weights(task: str) -> None:
    whole, cut = train(run_of(task)), train(run_of(task), epochs=3)
    again = run_of(task)
    again.load_state(*cut.state())
    train(again)
    assert [told(row) for row in again.history] == [told(row) for row in whole.history]
    assert all(torch.equal(tensor, kept(again)[name]) for name, tensor in kept(whole).items())
    assert all(torch.equal(tensor, again.weights()[name]) for name, tensor in whole.weights().items())
    assert not any("unimodal" in name for name in whole.weights()), "a prediction needs none of it"


def test_labels_rest_in_the_first_epoch_and_teach_from_the_third() -> None:
    run = train(run_of())
    moves = [[row[f"train_label_move_{m}"] for m in LAYERS] for row in run.history]
    losses = [[row[f"train_loss_unimodal_{m}"] for m in LAYERS] for row in run.history]
    assert not np.any(moves[:2]) and not np.any(losses[:2])  # a step of the second one meets each row unmoved
    assert np.all(np.array(moves[2:]) > 0) and np.all(np.array(losses[2:]) > 0)
    labels = run.unimodal.labels  # type: ignore[union-attr]
    assert all((own.abs() <= 1).all() for own in labels.labels.values())
    assert labels.seen[FUSED].all()


@pytest.mark.parametrize("task", TASKS)
def test_absent_clips_have_no_label_of_their_own_and_matter_to_nobody(task: str) -> None:
    data = fused_data(exact=False)
    run = train(run_of(task, data, fusion__modality_dropout=0.0))
    train_split = data.train
    assert isinstance(train_split, FusedSplit)
    absent_N = ~train_split.parts["audio"].present_N  # type: ignore[operator]
    labels = run.unimodal.labels  # type: ignore[union-attr]
    assert not labels.seen["audio"][absent_N].any() and labels.seen["audio"][~absent_N].any()
    assert torch.equal(labels.labels["audio"][absent_N], labels.truth_NT[absent_N])
    other = train_split.parts["audio"].features_NLD.copy()  # type: ignore[union-attr]
    other[absent_N] = 7.0
    parts = {**train_split.parts, "audio": replace(train_split.parts["audio"], features_NLD=other)}
    twin = train(run_of(task, replace(data, train=replace(train_split, parts=parts)), fusion__modality_dropout=0.0))
    assert [told(row) for row in twin.history] == [told(row) for row in run.history]


def test_dialogues_teach_the_rows_that_count() -> None:
    data = fused_data(exact=False)

    def spoken(split: Any) -> Any:
        return replace(split, dialogue_N=dialogue_numbers(split.ids))

    data = replace(data, train=spoken(data.train), dev=spoken(data.dev))
    run = train(run_of("class", data, dialogue__kind="gru"))
    assert run.history[-1]["train_loss_unimodal_text"] > 0 and run.unimodal.labels.seen[FUSED].all()  # type: ignore[union-attr]


def test_a_split_without_sound_says_nothing_of_it() -> None:
    data = fused_data(exact=False)
    audio = data.train.parts["audio"]  # type: ignore[union-attr]
    silent = replace(audio, present_N=np.zeros(len(audio), dtype=bool))
    parts = {**data.train.parts, "audio": silent}  # type: ignore[union-attr]
    run = train(run_of("class", replace(data, train=replace(data.train, parts=parts))))  # type: ignore[type-var]
    assert "train_loss_unimodal_audio" not in run.history[-1] and "train_loss_unimodal_text" in run.history[-1]
    assert all(tensor.isfinite().all() for tensor in run.weights().values())


def test_such_trials_train_alone_and_without_its_loss_they_do_not() -> None:
    config = toy_config(**OWN)
    assert shape_of(config).reason == "it makes labels for each modality of its rows (fusion.kind self_mm)"
    assert shape_of(toy_config(**OWN, fusion__unimodal_weight=0.0)).is_packable
    assert run_of(fusion__unimodal_weight=0.0).unimodal is None


def test_students_have_a_teacher() -> None:
    with pytest.raises(ValueError, match=r"fusion\.kind 'self_mm' makes labels for each modality, and with distill"):
        toy_config(**OWN | {"distill__teacher": "exports/t", "distill__warmup_steps": 2, "head__hidden": 16})


def test_its_weight_matters_to_the_fused_vector_once_labels_have_moved() -> None:
    def token(weight: float, epochs: int) -> torch.Tensor:
        run = train(run_of(fusion__unimodal_weight=weight), epochs)
        return run.weights()["model.fusion.tokens.inputs.text.path.2.weight"].clone()

    assert torch.equal(token(1.0, 2), token(3.0, 2))
    assert not torch.equal(token(1.0, 4), token(3.0, 4))
