"""How sampled values are named where a person reads them."""

from __future__ import annotations

from mer.study.show.words import run_name, short_names


def test_keys_that_end_alike_are_told_apart():
    keys = ["dialogue.kind", "fusion.kind", "loss.contrastive.temperature", "encoders.text.backbone",
            "encoders.audio.backbone", "optim.head_lr", "seed"]  # fmt: skip
    assert list(short_names(keys).values()) == [
        "dialogue.kind", "fusion.kind", "temperature", "text.backbone", "audio.backbone", "head_lr", "seed",
    ]  # fmt: skip
    assert short_names(["loss.contrastive.kind"]) == {"loss.contrastive.kind": "kind"}


def test_a_run_is_named_by_its_first_values():
    params = {"dialogue.kind": "gru", "fusion.kind": "concat", "optim.head_lr": 1e-3, "fusion.width": 64}
    assert run_name(7, params, None) == "00007 refused dialogue.kind=gru fusion.kind=concat head_lr=0.001"
