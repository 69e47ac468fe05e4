"""How sampled values are named where a person reads them."""

from __future__ import annotations

from mer.study.show.words import run_name, run_title, short_names, terse


def test_keys_that_end_alike_are_told_apart():
    keys = ["dialogue.kind", "fusion.kind", "loss.contrastive.temperature", "encoders.text.backbone",
            "encoders.audio.backbone", "optim.head_lr", "seed"]  # fmt: skip
    assert list(short_names(keys).values()) == [
        "dialogue.kind", "fusion.kind", "temperature", "text.backbone", "audio.backbone", "head_lr", "seed",
    ]  # fmt: skip
    assert short_names(["loss.contrastive.kind"]) == {"loss.contrastive.kind": "kind"}


def test_a_run_is_named_by_its_first_values():
    params = {"dialogue.kind": "gru", "fusion.kind": "concat", "optim.head_lr": 1e-3, "fusion.width": 64}
    assert run_name(7, params, None) == "00007 refused dialogue.kind=gru fusion.kind=concat hl=1e-3"


def test_a_run_s_name_repeats_nothing():
    params = {"loss.contrastive.kind": "spcl", "loss.contrastive.temperature": 0.1219, "optim.head_lr": 9.14e-4}
    assert run_title(5, params, "spcl") == "00005 spcl t=.12 hl=9.1e-4"
    assert run_title(6, {"loss.contrastive.kind": "none", "head.dropout": 0.3}, "ce") == "00006 ce d=.3"
    assert run_title(5, {"encoders.text.layers": [2, 4], "encoders.audio.layers": "last"}, "ce") == (
        "00005 ce text.layers=[2,4] audio.layers=last"
    )


def test_values_take_few_characters():
    told = {0.3: ".3", -0.25: "-.25", 0.0: "0", 1.0: "1", 2.5: "2.5", 0.01: ".01", 3e-5: "3e-5", 1e-12: "1e-12"}
    assert {value: terse(value) for value in told} == told and terse(True) == "True" and terse(512) == "512"
