"""Tuned encoders in float16 with scaled gradients, with 8-bit moments, compiled; and what is refused."""

from __future__ import annotations

import math
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mer.errors import MerError, TrialFailed
from mer.study.space.spec import Resources
from mer.training.compiling import require_compiler
from mer.training.eight_bits import require_eight_bits
from mer.training.scaling import LossScaler, refuse_no_bfloat16

HALF = {"dtype": "float16"}


SMALL_SCALE = 256.0  # gradients of these tiny models overflow at the usual one


def small_scale(run):
    run.scaler.load(run.scaler.state() | {"scale": SMALL_SCALE})
    return run


def told(run) -> list[dict[str, float]]:
    return [{n: v for n, v in row.items() if n not in ("seconds", "timestamp_ms")} for row in run.history]


def test_a_scaled_step_is_the_plain_one_and_an_overflow_is_left_out():
    """Against SGD by hand: the scale is a power of two, so that it leaves no trace."""
    weight, other = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    ours, plain = torch.optim.AdamW([weight], lr=0.1, fused=True), torch.optim.AdamW([other], lr=0.1, fused=True)
    scaler = LossScaler("cpu")
    for factor in (1.0, 3.0, math.inf, 2.0):
        ours.zero_grad()
        scaler.backward((weight**2).sum() * factor, ours)
        overflowed = not bool(torch.isfinite(weight.grad).all())
        before, scale = weight.detach().clone(), scaler.scale
        assert scaler.step(ours, overflowed=overflowed)
        if overflowed:
            assert factor == math.inf and torch.equal(weight, before) and scaler.scale == scale / 2
            continue
        plain.zero_grad()
        ((other**2).sum() * factor).backward()
        plain.step()
        torch.testing.assert_close(weight, other, rtol=0, atol=0)
    assert scaler.skipped == 1


def test_a_gradient_that_no_scale_can_mend_ends_the_trial():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer, scaler = torch.optim.AdamW([weight], lr=0.1), LossScaler("cpu")
    steps = 0
    while True:
        optimizer.zero_grad()
        scaler.backward((weight * math.inf).sum(), optimizer)
        steps += 1
        if not scaler.step(optimizer, overflowed=True):
            break
    assert steps == 17 and scaler.scale < 1  # 65536 halved below 1


def test_a_scaler_goes_on_where_it_was():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer, scaler = torch.optim.AdamW([weight], lr=0.1), LossScaler("cpu")
    scaler.backward((weight * math.inf).sum(), optimizer)
    scaler.step(optimizer, overflowed=True)
    other = LossScaler("cpu")
    other.load(scaler.state())
    assert other.state() == scaler.state() and other.skipped == 1
    assert other.scale == 2.0**15


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_float16_trains_skips_and_counts(lab, mode):
    run = small_scale(lab.run(mode=mode, **HALF))
    run.train_epoch()
    assert run.history[0]["skipped_steps"] == 0.0
    usual, calls = run.scaler.backward, []

    def overflowing(loss, optimizer):
        calls.append(1)
        usual(loss * math.inf if len(calls) == 1 else loss, optimizer)

    run.scaler.backward = overflowing
    steps = run.step_count
    run.train_epoch()
    assert run.history[1]["skipped_steps"] == 1.0 and run.step_count > steps
    assert math.isfinite(run.history[1]["train_grad_norm"]) and math.isfinite(run.history[1]["train_loss"])
    assert run.scaler.scale == SMALL_SCALE / 2
    for weight in run.model.parameters():
        assert torch.isfinite(weight).all()


def test_float16_is_near_float32(lab):
    still = {"tuned_dropout": 0.0, "lora": {"dropout": 0.0}, "head": {"dropout": 0.0}}
    half, whole = small_scale(lab.run(**still, **HALF)), lab.run(**still)
    for run in (half, whole):
        run.train_epoch()
    np.testing.assert_allclose(half.history[0]["train_loss"], whole.history[0]["train_loss"], rtol=0.05)
    assert "skipped_steps" not in whole.history[0] and whole.scaler is None


def test_a_resumed_run_in_float16_goes_on_exactly(lab):
    whole, cut = lab.run(**HALF), lab.run(**HALF)
    for run in (whole, cut):
        small_scale(run).scaler._scaler.set_growth_interval(3)  # the scale grows within these few steps
    cut.train_epoch()
    tensors, card = cut.state()
    assert card["scaler"]["scale"] > SMALL_SCALE
    resumed = lab.run(**HALF)
    resumed.load_state(tensors, card)
    for run in (whole, resumed):
        while not run.finished:
            run.train_epoch()
    assert told(whole) == told(resumed)
    assert whole.scaler.state() == resumed.scaler.state()


def test_endless_overflow_is_one_reason(lab):
    run = lab.run(**HALF)
    run.scaler.load(run.scaler.state() | {"scale": 2.0})
    run.scaler.backward = lambda loss, optimizer, usual=run.scaler.backward: usual(loss * math.inf, optimizer)
    with pytest.raises(TrialFailed, match="gradient norm became"):
        while not run.finished:
            run.train_epoch()


def test_float16_is_of_tuned_encoders(lab):
    with pytest.raises(ValidationError, match="dtype 'float16' scales gradients, and mode 'frozen' has none"):
        lab.config(mode="frozen", **HALF)


def test_bfloat16_is_refused_where_the_gpu_only_emulates_it(lab, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    with pytest.raises(MerError) as refused:
        refuse_no_bfloat16(lab.config(dtype="bfloat16"), "cuda")
    assert refused.value.message == (
        "encoders.text.dtype: bfloat16, which this GPU (Tesla T4, compute capability 7.5) lacks\n"
        "  allowed: float32, or float16, whose gradients are scaled\n"
        "  next: --set encoders.text.dtype=float16"
    )
    refuse_no_bfloat16(lab.config(**HALF), "cuda")
    refuse_no_bfloat16(lab.config(dtype="bfloat16"), "cpu")


# -- 8 bits, compiled, several GPUs --------------------------------------------------------------------------------


def test_eight_bits_without_the_package_are_one_message(monkeypatch):
    monkeypatch.setattr("mer.training.eight_bits.find_spec", lambda name: None)
    with pytest.raises(MerError, match=r"8 bits need the package bitsandbytes(.|\n)*mer\[eight-bit\]"):
        require_eight_bits()


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_eight_bit_moments_learn_and_resume(lab):
    settings = {"mode": "full", "full": {"embeddings": True}, "optim": {"moment_bits": 8}}
    whole, cut = lab.run(**settings), lab.run(**settings)
    cut.train_epoch()
    resumed = lab.run(**settings)
    resumed.load_state(*cut.state())
    for run in (whole, resumed):
        while not run.finished:
            run.train_epoch()
    assert told(whole) == told(resumed)
    assert {str(t.dtype) for name, t in whole.state()[0].items() if name.startswith("optimizer.")} >= {"torch.uint8"}
    plain = lab.run(mode="full", full={"embeddings": True})
    while not plain.finished:
        plain.train_epoch()
    assert whole.history[-1]["train_loss"] < whole.history[0]["train_loss"]
    np.testing.assert_allclose(whole.history[0]["train_loss"], plain.history[0]["train_loss"], rtol=0.2)


def test_settings_of_tuned_encoders_are_refused_beside_frozen_ones(lab):
    none = {"encoder_lr": None}
    for part in ({"optim": none | {"moment_bits": 8}}, {"optim": none, "training": {"compile": True}}):
        with pytest.raises(ValidationError, match=r"is of tuned encoders, and encoders.\*.mode is 'frozen': remove it"):
            lab.config(mode="frozen", **part)
    dumped = lab.config().model_dump()
    assert "moment_bits" not in dumped["optim"] and "compile" not in dumped["training"]


def test_without_a_compiler_one_message(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(MerError, match=r"training.compile: a C\+\+ compiler \(g\+\+ or clang\+\+\) is not here"):
        require_compiler("cpu")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch.compile, about its own work
def test_a_compiled_encoder_has_the_numbers_of_a_plain_one(lab):
    try:
        require_compiler("cpu")
    except MerError as fault:
        pytest.skip(fault.message)
    still = {"tuned_dropout": 0.0, "lora": {"dropout": 0.0}, "head": {"dropout": 0.0}}
    compiled, plain = (lab.run(**still, training={"epochs": 1, "compile": how}) for how in (True, False))
    for run in (compiled, plain):
        run.train_epoch()
    assert compiled.weights().keys() == plain.weights().keys()
    np.testing.assert_allclose(compiled.history[0]["train_loss"], plain.history[0]["train_loss"], rtol=1e-3)


def test_a_trial_trains_on_one_gpu():
    with pytest.raises(ValidationError, match="got 2: a trial trains on one GPU, and would leave the others idle"):
        Resources(gpu=2)
    assert Resources(gpu=1).gpu == 1
