"""Students that review the hidden states of a teacher's encoder, stage by stage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from several import ROWS, Several
from torch.nn import functional as F

from mer.models.sequence_batch import SequenceBatch
from mer.training import TrainingRun, build_run
from mer.training.distillation import DistillationRun

STAGES, PARTS, TEACHER_WIDTH = 2, 4, 7
TAUGHT = {"distill__teacher": "exports/t", "distill__warmup_steps": 4, "distill__feature": "review"}
TWO = {"encoders__audio__layers": [2, 3], "encoders__video__layers": [2, 3], "encoders__video__freeze_layers": 1,
       "fusion__kind": "concat", "fusion__width": 16}  # fmt: skip


@pytest.fixture(scope="module")
def several(backbone, tmp_path_factory):
    return Several(backbone("roberta", 2), tmp_path_factory.mktemp("backbones"))


def run_of(several: Several, *modalities: str, **dotted: Any) -> DistillationRun:
    config = several.config(*modalities, **(TAUGHT | dotted))
    data, _ = several.data(config, taught=True)
    rng = np.random.default_rng(5)
    staged = {
        name: replace(
            told,
            states_NSPK=rng.standard_normal((ROWS[name], STAGES, PARTS, TEACHER_WIDTH)).astype(np.float16),
            staged_N=rng.random(ROWS[name]) > 0.2,
        )
        for name, told in data.teacher.items()
    }
    layers: Any = {m: list(config.encoders.present[m].layers) for m in modalities}
    if len(modalities) == 1:
        (layers,) = layers.values()
    made = build_run(config, replace(data, teacher=staged), layers)
    assert isinstance(made, DistillationRun)
    return made


def finished(run: TrainingRun) -> TrainingRun:
    while not run.finished:
        run.train_epoch()
    return run


def test_the_review_reaches_the_encoder_and_falls(several):
    run = run_of(several, "audio", distill__response="none", distill__ce_weight=0.0, training__epochs=8,
                 distill__warmup_steps=0, optim__head_lr=0.02)  # fmt: skip
    before = {name: weight.detach().clone() for name, weight in run.model.tuned["audio"].trained().items()}
    finished(run)
    assert run.history[-1]["train_loss_feature"] < 0.9 * run.history[0]["train_loss_feature"]
    after = run.model.tuned["audio"].trained()
    assert all(not torch.equal(after[name], old) for name, old in before.items()), "nothing else trains it here"


@pytest.mark.parametrize("modalities", [("audio",), ("audio", "video")])
def test_it_resumes_exactly(several, modalities: tuple[str, ...]):
    dotted = TWO if len(modalities) > 1 else {}
    whole, cut, again = (run_of(several, *modalities, **dotted) for _ in range(3))
    finished(whole)
    cut.train_epoch()
    again.load_state(*cut.state())
    finished(again)
    for name, tensor in whole.weights().items():
        assert torch.equal(tensor, again.weights()[name]), name
    rows = [{k: v for k, v in row.items() if k not in ("seconds", "timestamp_ms")} for row in again.history]
    assert rows == [{k: v for k, v in row.items() if k not in ("seconds", "timestamp_ms")} for row in whole.history]
    assert any(name.startswith("train_loss_feature") for name in rows[0])


def test_the_weight_and_the_warm_up_weigh_it(several):
    one, two = (run_of(several, "audio", distill__feature_weight=w, distill__warmup_steps=4) for w in (1.0, 3.0))
    rows_B = np.arange(16)
    for run in (one, two):
        run.model.train(False)
        run.objective.train()
    parts = [run.objective(*run._answer(rows_B)) for run in (one, two)]
    feature = [told["feature"].item() for _, told in parts]
    assert feature[0] == pytest.approx(feature[1])
    assert (parts[1][0] - parts[0][0]).item() == pytest.approx(2 * 0.25 * feature[0], rel=1e-4)


def test_other_levels_give_other_numbers(several):
    """`distill.review_levels` acts: with one level only the whole is compared."""
    numbers = []
    for levels, parts in ((3, 4), (1, 1)):
        run = run_of(several, "audio", distill__review_levels=levels)
        told = run.data.teacher["train"]
        run.data = replace(run.data, teacher={"train": replace(told, states_NSPK=told.states_NSPK[:, :, :parts])})
        run.model.train(False)
        numbers.append(run.objective(*run._answer(np.arange(16)))[1]["feature"].item())
    assert numbers[0] != pytest.approx(numbers[1], rel=1e-3)


def test_stages_are_averaged_over_parts_of_the_real_inputs_alone(several):
    """Against torch's adaptive pooling of each row by itself, whatever it is padded with; absent rows are zeros."""
    run = run_of(several, "audio")
    encoder, part = run.model.tuned["audio"], run.parts_of(run.data.train)["audio"]
    encoder.eval()
    rows_B = np.arange(len(part))
    batch, _ = part.batch(rows_B, [])
    with torch.no_grad():
        pooled, states = encoder.staged(batch, PARTS)
        torch.testing.assert_close(pooled, encoder.pooled(batch), rtol=1e-5, atol=1e-5)
        for row in rows_B:
            own, _ = part.batch(np.array([row]), [])
            if not own.lengths[0]:
                assert not states[row].any()
                continue
            alone = encoder(own.values[None].float(), torch.ones(1, len(own.values), dtype=torch.long))
            expected = torch.stack([F.adaptive_avg_pool1d(state[0].mT, PARTS).mT for state in alone])
            torch.testing.assert_close(states[row], expected, rtol=1e-4, atol=1e-4)
    assert isinstance(batch, SequenceBatch)


@pytest.mark.parametrize(
    ("dotted", "said"),
    [
        ({"encoders__audio__mode": "frozen", "encoders__audio__freeze_layers": 0, "encoders__audio__lr": None,
          "optim__encoder_lr": None}, "encoders.audio.mode 'frozen' cannot change: set it to lora or full"),
        ({"encoders__audio__layers": [3]}, "encoders.audio.layers must list two or more hidden states, got [3]"),
        ({"encoders__audio__layers": "all"}, "must list two or more hidden states, got all"),
        ({"distill__feature": "similarity", "distill__review_levels": 2}, "distill.review_levels has no meaning with"),
        ({"distill__feature_temperature": 0.5}, "feature_temperature has no meaning with distill.feature 'review'"),
        ({"distill__review_levels": 5}, "less than or equal to 4"),
    ],
)  # fmt: skip
def test_a_review_of_nothing_is_refused(several, dotted: dict[str, Any], said: str):
    with pytest.raises(ValueError) as caught:
        several.config("audio", **(TAUGHT | dotted))
    assert said in str(caught.value)


def test_students_of_unlike_many_stages_are_refused(several):
    with pytest.raises(ValueError, match=r"must list equally many hidden states, got 2, 3"):
        several.config("audio", "video", **TAUGHT, **(TWO | {"encoders__video__layers": [1, 2, 3],
                                                              "encoders__video__freeze_layers": 0}))  # fmt: skip
