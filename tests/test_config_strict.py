"""Numbers are numbers: nothing is turned into one, and every fault of a part is named."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mer.config import TrialConfig
from mer.study.space.keys import reason
from mer.study.space.params import FloatParam, IntParam
from mer.study.space.spec import Budget


@pytest.mark.parametrize(
    ("model", "data", "faults"),
    [
        (TrialConfig, {"seed": True}, "seed: got true (allowed: a whole number)"),
        (TrialConfig, {"seed": "5"}, "seed: got '5' (allowed: a whole number)"),
        (
            TrialConfig,
            {"head": {"hidden": "8", "dropout": True}},
            "head.hidden: got '8' (allowed: a whole number); head.dropout: got true (allowed: a number)",
        ),
        (
            TrialConfig,
            {"encoders": {"text": {"layers": [1, True]}}},
            "encoders.text.layers: got true (allowed: a whole",
        ),
        (
            TrialConfig,
            {"encoders": {"text": {"context": {"past": "5"}}}},
            "encoders.text.context.past: got '5' (allowed",
        ),
        (TrialConfig, {"encoders": {"text": {"prompt": 1}}}, "encoders.text.prompt: got 1 (allowed: true or false)"),
        (TrialConfig, {"encoders": {"text": {"prompt": "yes"}}}, "encoders.text.prompt: got 'yes' (allowed: true or"),
        (TrialConfig, {"loss": {"contrastive": {"kind": "spcl", "weight": "1"}}}, "loss.contrastive.weight: got '1'"),
        (
            TrialConfig,
            {"loss": {"contrastive": {"weight": 1}}},
            "loss.contrastive: the key 'kind' is missing",
        ),
        (TrialConfig, {"head": {"hidden": 10**9}}, "head.hidden: got 1000000000 (allowed: at most 16384)"),
        (TrialConfig, {"optim": {"head_lr": float("inf")}}, "optim.head_lr: got inf (allowed: a finite number)"),
        (TrialConfig, {"head": 5}, "head: got 5 (allowed: a mapping {key: value})"),
    ],
)
def test_refused_in_our_words(model, data, faults):
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    assert reason(caught.value).startswith(faults)


def test_what_is_no_change_of_type():
    config = TrialConfig.model_validate({"head": {"hidden": 8.0}, "optim": {"head_lr": 1}, "seed": 3})
    assert (config.head.hidden, config.optim.head_lr, config.seed) == (8, 1.0, 3)
    assert Budget.model_validate({"trials": 20.0, "hours": 2}).hours == 2.0
    assert TrialConfig.model_validate({"encoders": {"text": {"context": {"past": "all"}}}}).encoders.text is not None


@pytest.mark.parametrize(
    ("model", "body", "words"),
    [
        (FloatParam, {"float": [0, 0.5], "step": 1e-320}, "is too small: from 0 to 0.5 it must be at least 5e-10"),
        (FloatParam, {"float": [-1e308, 1e308]}, "the range is too wide"),
        (IntParam, {"int": [0, 2**53], "step": 3}, "is too small"),
    ],
)
def test_ranges_that_no_arithmetic_survives(model, body, words):
    with pytest.raises(ValidationError, match=words):
        model.model_validate(body)
