"""Merged distillation: the very bits of separate runs, resumed exactly, and what each mode lets through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from distill_data import LAYERS, distill_config, distill_data, merged
from toy_data import outcome, told

from mer.config import student_config
from mer.training import build_run
from mer.training.run import TrainingRun

KINDS: dict[str, dict[str, Any]] = {
    "dist": {},
    "kl": {"distill__response": "kl", "distill__feature": "none"},
    "feature": {"distill__response": "none", "distill__feature_temperature": 0.1},
    "correct-only": {"distill__kd_filter": "correct_only"},
    "supcon": {"loss__contrastive__kind": "supcon"},
    "apcl": {"loss__contrastive__kind": "apcl"},
    "weights": {"distill__ce_weight": 0.5, "loss__classification__class_weight": "power"},
    "same-width": {"head__hidden": 10},
    "probe-of-features": {"head__hidden": 0, "distill__feature": "none", "head__layer_mix": "mean"},
    "tiny-batches": {"optim__batch_size": 2},
}


def trained(run: TrainingRun) -> TrainingRun:
    while not run.finished:
        run.train_epoch()
    return run


def numbers(tensors: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("modality", LAYERS)
def test_a_student_of_a_merged_run_has_the_bits_of_its_own_run(kind: str, modality: str):
    together = merged(**KINDS[kind])
    alone = build_run(student_config(together.config, modality), distill_data(modality), LAYERS[modality])
    for _ in range(together.config.training.epochs):
        row, own = together.train_epoch(), alone.train_epoch()
        assert row[f"dev_weighted_f1_{modality}"] == own["dev_weighted_f1"]
        assert row[f"train_grad_norm_{modality}"] == own["train_grad_norm"]
        student = together.model.student(modality)
        assert numbers(student.state_dict()) == numbers(alone.model.state_dict())
        for (name, p), q in zip(student.named_parameters(), alone.model.parameters(), strict=True):
            assert torch.equal(p.grad, q.grad), name
    best = together.member.bests[modality]
    assert best.row["epoch"] == alone.member.best.row["epoch"]
    assert numbers(best.tensors) == numbers(alone.member.best.tensors)


def test_in_joint_mode_the_fusion_moves_the_students_after_its_warm_epochs():
    parallel, joint = merged(), merged(distill__mode="joint", distill__warm_epochs=1)
    for epoch in range(2):
        parallel.train_epoch(), joint.train_epoch()
        same = numbers(parallel.model.students.state_dict()) == numbers(joint.model.students.state_dict())
        assert same == (epoch == 0)


@pytest.mark.parametrize(
    "variant",
    [{}, {"distill__mode": "joint"}, {"distill__mode": "joint", "loss__cross_modal__weight": 0.5},
     {"fusion__kind": "tgmoe"}, {"fusion__kind": "late"},
     {"distill__source": "fused", "distill__teacher": None, "distill__mode": "joint", "distill__feature": "none",
      "distill__response": "kl"}],
    ids=["parallel", "joint", "joint-contrast", "tgmoe", "late", "self"],
)  # fmt: skip
def test_resuming_is_exact_and_the_loss_falls(variant: dict[str, Any]):
    data = distill_data(teaches=variant.get("distill__source") != "fused")
    whole, cut = merged(data, **variant), merged(data, **variant)
    trained(whole)
    for _ in range(2):
        cut.train_epoch()
    again = merged(data, **variant)
    again.load_state(*cut.state())
    assert outcome(trained(again)) == outcome(whole)
    assert {m: numbers(b.tensors) for m, b in again.member.bests.items() if m} == {
        m: numbers(b.tensors) for m, b in whole.member.bests.items() if m
    }
    assert whole.history[-1]["train_loss_classification"] < whole.history[0]["train_loss_classification"]
    assert whole.history[-1]["train_loss_response_audio"] > 0


def test_the_teacher_fades_in_and_its_terms_are_masked_with_their_modality():
    run = merged(distill__warmup_steps=4)
    assert [run.share(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    audio = run.data.train.parts["audio"]
    absent = np.flatnonzero(~audio.present_N & run.data.train.parts["video"].present_N)
    run.model.train()
    run.streams.restart("here")
    outputs, labels = run._answer(absent[:6])
    assert outputs is not None and set(outputs.students) == {"video"} and len(labels) == 6
    nothing = np.flatnonzero(~audio.present_N & ~run.data.train.parts["video"].present_N)
    assert run._answer(nothing)[0] is None and len(nothing)


def test_dev_says_how_often_a_student_agrees_with_its_teacher():
    run = merged()
    row = run.train_epoch()
    says = run.data.teacher["dev"].logits_NC.argmax(axis=1)
    for modality in LAYERS:
        answers = run._student_scores(modality).logits_NC.argmax(axis=1)
        assert row[f"dev_teacher_agreement_{modality}"] == (answers == says).mean()
    assert {"dev_weighted_f1_without_audio", "train_loss_feature_video"} <= told(row).keys()


def test_a_merged_run_without_its_teacher_is_refused():
    with pytest.raises(Exception, match="the outputs of the teacher are not there"):
        build_run(distill_config(), distill_data(teaches=False), LAYERS)


@pytest.mark.parametrize("kind", ["concat", "self_attention", "shifting", "tgmoe", "late", "lmf"])
def test_a_training_step_says_of_a_row_what_evaluation_says(kind: str):
    """The students' answers for the rows they can read must land on those rows of the fusion."""
    run = merged(fusion__kind=kind)
    run.train_epoch()
    run.model.eval()
    run.streams.restart("here")
    rows = np.arange(20)[::-1].copy()
    split = run.data.train
    batch, labels = split.batch(rows, LAYERS)
    some = batch.present_BM.any(dim=1)
    with torch.no_grad():
        outputs, answered = run._answer(rows)
        h, logits = run.model(batch)
    assert torch.equal(answered, labels[some]) and not some.all()
    torch.testing.assert_close(outputs.logits_NC, logits[some])
    torch.testing.assert_close(outputs.h_ND, h[some])
    for modality, (there, own) in outputs.students.items():
        expected = run.student(modality)(batch.parts[modality][some][there])[1]
        torch.testing.assert_close(own.logits_NC, expected)
        np.testing.assert_array_equal(
            own.lesson.logits_NC.numpy(), run.data.teacher["train"].logits_NC[rows[some.numpy()][there.numpy()]]
        )
