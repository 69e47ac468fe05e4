"""Runs on numbers and on several labels: they learn, resume exactly, and a member of a pack is as it is alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from distill_data import LAYERS as STUDENT_LAYERS
from distill_data import distill_config, distill_data
from packed_law import (
    assert_breaks_change_nothing,
    assert_company_changes_nothing,
    assert_same_bits,
    finished,
    in_double,
)
from target_data import LOSSES, NAMES, with_targets
from test_training_packed import DoubleSplit, double_data
from test_training_packed_fused import fused_data
from tiers import slow_except
from toy_data import outcome, toy_config, toy_data

from mer.checkpoints import load_tensors, save_tensors
from mer.config import TrialConfig, nest, student_config
from mer.data.types import dialogue_numbers
from mer.training import FusedSplit, TrainingData, TrainingRun, build_run
from mer.training.packed import pack_epochs, shape_of


def task_of(name: str) -> str:
    return LOSSES[name]["data__task"]


def run_of(name: str, data: TrainingData | None = None, **dotted: Any) -> TrainingRun:
    data = data or with_targets(toy_data(), task_of(name))
    return build_run(toy_config(**LOSSES[name], **dotted), data, [0, 2])


@pytest.mark.parametrize("name", LOSSES)
def test_a_run_learns_what_the_rows_say(name):
    data = with_targets(toy_data(noise=0.02), task_of(name))
    run = finished(run_of(name, data, training__epochs=30, head__dropout=0.0, head__input_dropout=0.0))
    best = run.member.best.row
    assert best["dev_ccc" if task_of(name) == "regression" else "dev_macro_f1"] > 0.85
    assert run.config.training.metric in best and set(NAMES[task_of(name)]) <= {key.split("_")[-1] for key in best}
    assert all(math.isfinite(value) for row in run.history for value in row.values())


def test_numbers_of_any_scale_and_place_are_learnt_alike():
    """The model computes in standard deviations: another unit changes the outputs and nothing else."""
    data = with_targets(toy_data(), "regression")
    moved = replace(
        data,
        train=replace(data.train, labels_N=data.train.labels_N * 4096 + 2**20),
        dev=replace(data.dev, labels_N=data.dev.labels_N * 4096 + 2**20),
    )
    one, other = finished(run_of("mse", data)), finished(run_of("mse", moved))
    for mine, theirs in zip(one.history, other.history, strict=True):
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-3)
        assert mine["dev_ccc"] == pytest.approx(theirs["dev_ccc"], abs=1e-3)
        assert mine["dev_mae"] * 4096 == pytest.approx(theirs["dev_mae"], rel=1e-2)


def test_rows_without_a_number_teach_nothing():
    data = with_targets(toy_data(), "regression", missing=0.3)
    nothing = np.isnan(data.train.labels_N).all(axis=1)
    assert nothing.any() and not set(np.flatnonzero(nothing)) & set(run_of("mse", data).train_rows)
    noise = np.array(data.train.features_NLD)
    noise[nothing] = 7.0
    other = replace(data, train=replace(data.train, features_NLD=noise))
    assert outcome(finished(run_of("mse", data))) == outcome(finished(run_of("mse", other)))


@pytest.mark.parametrize("name", LOSSES)
def test_resume_after_any_epoch_equals_uninterrupted(name, tmp_path):
    whole = run_of(name)
    while not whole.finished:
        whole.train_epoch()
        save_tensors(tmp_path / f"{whole.epoch}.safetensors", *whole.state())
    for epoch in range(1, whole.epoch + 1):
        resumed = run_of(name)
        resumed.load_state(*load_tensors(tmp_path / f"{epoch}.safetensors"))
        assert outcome(finished(resumed)) == outcome(whole), f"resumed after epoch {epoch}"


# -- packs ---------------------------------------------------------------------------------------------------------


def varied(k: int) -> dict[str, Any]:
    """Settings of member k: everything that members may differ in, differs."""
    return {
        "seed": k,
        "optim__head_lr": [0.02, 0.003, 0.01, 0.05][k % 4],
        "optim__weight_decay": [0.01, 0.0, 0.3][k % 3],
        "optim__clip_norm": [1.0, 0.05, 50.0][k % 3],
        "head__dropout": [0.2, 0.0, 0.5][k % 3],
        "training__epochs": 3 + k % 2,
    }


def member(name: str, k: int, data: TrainingData) -> TrainingRun:
    own: dict[str, Any] = {"loss__regression__huber_delta": [1.0, 0.2, 3.0][k % 3]} if name == "huber" else {}
    own |= {"loss__multilabel__pos_weight_exponent": [0.0, 1.0, 0.5][k % 3]} if name == "labels" else {}
    return run_of(name, data, **varied(k), **own)


@pytest.mark.parametrize("name", slow_except(LOSSES, "mse", "labels"))
def test_a_member_is_what_it_is_alone(name):
    data = with_targets(double_data(masked=True), task_of(name))
    assert_company_changes_nothing(lambda k: in_double(member(name, k, data)))


@pytest.mark.parametrize("name", slow_except(LOSSES, "ccc"))
def test_members_are_cut_replaced_and_resumed(name):
    data = with_targets(double_data(masked=True), task_of(name))
    assert_breaks_change_nothing(lambda k: in_double(member(name, k, data)))


@pytest.mark.parametrize("name", slow_except(LOSSES, "huber"))
def test_float32_has_the_same_bits_in_any_company(name):
    data = with_targets(toy_data(), task_of(name))
    assert_same_bits(lambda k: member(name, k, data))


def test_what_shares_a_program():
    one = toy_config(**LOSSES["mse"])
    shape = lambda **dotted: shape_of(toy_config(**(LOSSES["mse"] | dotted))).key  # noqa: E731
    assert shape_of(one).is_packable and shape(loss__regression__kind="mae") != shape_of(one).key
    assert shape(loss__regression__huber_delta=3.0) == shape(seed=4) == shape_of(one).key
    assert shape_of(toy_config()).key != shape_of(toy_config(**LOSSES["labels"])).key


# -- fusion --------------------------------------------------------------------------------------------------------

FUSIONS: dict[str, dict[str, Any]] = {
    "concat": {"fusion__kind": "concat"},
    "late": {"fusion__kind": "late"},
    "tgmoe": {"fusion__kind": "tgmoe", "fusion__heads": 2},
    "misa": {"fusion__kind": "misa", "fusion__subspace_width": 8},
    "tfn": {"fusion__kind": "tfn", "fusion__factor_width": 4},
}


ENCODERS = {"encoders__text__layers": [0, 2], "encoders__audio__layers": [1], "encoders__video__layers": [2]}


def fused_run(name: str, fusion: str, k: int, exact: bool = True) -> TrainingRun:
    data = with_targets(fused_data(exact), task_of(name))
    settings = LOSSES[name] | FUSIONS[fusion] | {"fusion__width": 16} | varied(k)
    config = toy_config(**settings, **ENCODERS)
    return TrainingRun(config, data, {"text": [0, 2], "audio": [1], "video": [2]})


@pytest.mark.parametrize(
    ("name", "fusion"),
    slow_except([(n, f) for n in ("mse", "labels") for f in FUSIONS], ("mse", "late"), ("labels", "late")),
)
def test_a_fused_member_is_what_it_is_alone(name, fusion):
    assert_company_changes_nothing(lambda k: in_double(fused_run(name, fusion, k)))


def test_a_late_fusion_of_numbers_averages_them_and_learns():
    run = fused_run("mse", "late", 0, exact=False)
    training = run.config.training.model_copy(update={"epochs": 25})
    run = finished(TrainingRun(run.config.model_copy(update={"training": training}), run.data, run.layers))
    row = run.history[-1]
    assert row["dev_ccc"] > 0.5 and {"dev_ccc_without_text", "train_loss_own_text"} <= row.keys()


# -- distillation --------------------------------------------------------------------------------------------------

LESSONS: dict[str, dict[str, Any]] = {
    "outputs": {"distill__response": "mse", "distill__feature": "none"},
    "both": {"distill__response": "mse", "distill__feature": "mse"},
    "similar": {"distill__response": "none"},
    "fused": {
        "distill__source": "fused", "distill__mode": "joint", "distill__feature": "none", "distill__response": "mse",
        "distill__teacher": None,
    },
}  # fmt: skip


def double_parts(split: Any) -> Any:
    """Let features be float64."""
    parts = {
        name: DoubleSplit(part.ids, part.features_NLD, part.labels_N, part.present_N)
        for name, part in split.parts.items()
    }
    return replace(split, parts=parts)


def students(name: str, lesson: str, k: int, exact: bool = True) -> TrainingRun:
    data = distill_data(teaches=lesson != "fused")
    if exact:
        data = replace(data, train=double_parts(data.train), dev=double_parts(data.dev))
    data = with_targets(data, task_of(name))
    own = {
        "seed": k,
        "distill__response_weight": [1.0, 0.1, 3.0][k % 3],
        "distill__warmup_steps": [6, 0, 30][k % 3],
        "head__dropout": [0.2, 0.0, 0.5][k % 3],
    }
    return build_run(distill_config(**LOSSES[name], **LESSONS[lesson], **own), data, STUDENT_LAYERS)


@pytest.mark.parametrize(
    ("name", "lesson"),
    slow_except([(n, w) for n in ("mse", "labels") for w in LESSONS], ("mse", "both"), ("labels", "outputs")),
)
def test_a_student_in_a_pack_is_what_it_is_alone(name, lesson):
    assert_company_changes_nothing(lambda k: in_double(students(name, lesson, k)))


def test_students_of_numbers_learn_from_the_teacher_and_are_scored_by_their_metric():
    run = finished(students("mse", "both", 0, exact=False))
    row = run.history[-1]
    assert {"dev_ccc_audio", "dev_teacher_agreement_video", "dev_ccc_without_audio"} <= row.keys()
    assert set(run.member.bests) == {"", "audio", "video"} and run.config.training.metric == "dev_ccc"


def test_a_merged_student_has_the_weights_that_it_gets_alone():
    whole = finished(students("mse", "both", 0, exact=False))
    config = student_config(whole.config, "audio")
    data = whole.data
    alone = TrainingData(data.train.parts["audio"], data.dev.parts["audio"], data.class_names, teacher=data.teacher)
    run = finished(build_run(config, alone, STUDENT_LAYERS["audio"]))
    ours, theirs = whole.member.bests["audio"].weights, run.member.bests[""].weights
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


# -- dialogues, and what is refused --------------------------------------------------------------------------------


def test_a_model_of_dialogues_reads_turns_without_a_number():
    data = fused_data(exact=False)
    data = replace(
        data,
        train=replace(data.train, dialogue_N=dialogue_numbers(data.train.ids)),
        dev=replace(data.dev, dialogue_N=dialogue_numbers(data.dev.ids)),
    )
    data = with_targets(data, "regression", missing=0.3)
    settings = LOSSES["mse"] | FUSIONS["concat"] | {"fusion__width": 16, "dialogue__kind": "gru"}
    run = finished(TrainingRun(toy_config(**settings, **ENCODERS), data, {"text": [0, 2], "audio": [1], "video": [2]}))
    assert isinstance(run.data.train, FusedSplit) and math.isfinite(run.history[-1]["dev_ccc"])


@pytest.mark.parametrize(
    ("task", "settings", "said"),
    [
        ("regression", {"loss.contrastive.kind": "supcon"}, "'supcon' pulls rows of one class together"),
        ("multilabel", {"loss.contrastive.kind": "spcl"}, "'spcl' pulls rows of one class together"),
        ("regression", {"loss.classification.kind": "focal"}, "loss.classification is a loss on classes"),
        ("regression", {"loss.classification.probe": True}, "probe leaves h to a contrastive loss"),
        ("regression", {"training.prediction": "nearest_center"}, "'nearest_center' reads classes"),
        ("regression", {"training.metric": "dev_weighted_f1"}, "'dev_weighted_f1' is none of data.task 'regression'"),
        ("multilabel", {"training.metric": "dev_ccc"}, "'dev_ccc' is none of data.task 'multilabel'"),
        ("class", {"training.metric": "dev_ccc"}, "'dev_ccc' is none of data.task 'class'"),
        ("class", {"loss.regression.kind": "mae"}, "loss.regression is for data.task 'regression'"),
        ("regression", {"loss.multilabel.pos_weight_exponent": 1.0}, "loss.multilabel is for data.task 'multilabel'"),
        ("regression", {"loss.regression.kind": "l1"}, "'mse', 'mae', 'huber' or 'ccc'"),
        ("regression", {"loss.regression.huber_delta": 0.0}, "greater than 0"),
        ("multilabel", {"loss.multilabel.pos_weight_exponent": 2.0}, "less than or equal to 1"),
    ],
)
def test_settings_without_a_meaning_are_refused_in_one_message(task, settings, said):
    with pytest.raises(ValueError) as caught:
        TrialConfig.model_validate(nest({"data.task": task, **settings}))
    assert caught.value.error_count() == 1 and said in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "distill.response 'dist' compares probabilities of classes, and data.task 'regression' has none: set it"),
        ({"distill__response": "mse", "distill__kd_filter": "correct_only"}, "'correct_only' asks for right classes"),
    ],
)
def test_lessons_on_classes_are_refused(settings, said):
    with pytest.raises(ValueError) as caught:
        distill_config(data__task="regression", **settings)
    assert caught.value.error_count() == 1 and said in str(caught.value)


def test_a_pack_and_a_run_say_the_same_of_dev():
    data = with_targets(toy_data(), "regression")
    (ending,) = pack_epochs([run_of("mse", data)])
    alone = finished(run_of("mse", data)).history[-1]
    for key in alone.keys() - {"seconds", "timestamp_ms"}:
        assert ending[key] == pytest.approx(alone[key], rel=1e-4, abs=1e-5), key
