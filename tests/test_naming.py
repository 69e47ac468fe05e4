"""Names of methods and checkpoints."""

from __future__ import annotations

import pytest

from mer.config import TrialConfig, nest
from mer.errors import MerError
from mer.naming import Label, label_of, method_name


def config(**keys: object) -> TrialConfig:
    dotted = {key.replace("__", "."): value for key, value in keys.items()}
    return TrialConfig.model_validate(nest({"encoders.text.backbone": "minilm", **dotted}))


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({}, "ce"),
        ({"loss__classification__kind": "focal"}, "focal(gamma=2)"),
        ({"loss__contrastive__kind": "supcon"}, "supcon(temp=0.07)"),
        ({"loss__contrastive__kind": "spcl"}, "spcl(temp=0.08, pool_size=512, support_set_size=64)"),
        ({"loss__contrastive__kind": "apcl"}, "apcl(temp=0.08, beta=0.1, gamma=0.1)"),
        ({"loss__contrastive__kind": "eacl"}, "eacl(temp=0.1, ce_weight=0.1)"),
    ],
)
def test_method_names_are_those_of_the_reference_tables(keys: dict[str, object], name: str) -> None:
    assert method_name(config(**keys)) == name


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (Label(("text",), "emotion", "full", ("roberta-large",)), "T--ET(roberta-large)"),
        (Label(("text",), "sentiment", "lora", ("org/model",)), "T--SL(org__model)"),
        (
            Label(
                ("text", "audio", "video"), "emotion", "frozen", ("roberta-large", "microsoft/wavlm", "MCG/mae"), "LMF"
            ),
            "T+A+V--EF--LMF(roberta-large+microsoft__wavlm+MCG__mae)",
        ),
    ],
)
def test_labels_round_trip(label: Label, text: str) -> None:
    assert str(label) == text and Label.parse(text) == label


@pytest.mark.parametrize(
    ("dialogue", "name", "label"),
    [
        ({}, "T+A Concat ce", "T+A--EF--Concat(minilm+melstats)"),
        ({"dialogue__kind": "gru"}, "T+A Concat+GRU-online ce", "T+A--EF--Concat+GRU-online(minilm+melstats)"),
        (
            {"dialogue__kind": "attention", "dialogue__setting": "offline"},
            "T+A Concat+Attention-offline ce",
            "T+A--EF--Concat+Attention-offline(minilm+melstats)",
        ),
    ],
)
def test_fused_models_are_named_with_how_they_read_the_dialogue(
    dialogue: dict[str, object], name: str, label: str
) -> None:
    fused = config(encoders__audio__backbone="melstats", fusion__kind="concat", **dialogue)
    assert method_name(fused) == name and str(label_of(fused)) == label
    assert Label.parse(label) == label_of(fused)


def test_the_label_of_a_configuration() -> None:
    assert str(label_of(config())) == "T--EF(minilm)"
    assert str(label_of(config(data__label="sentiment"))) == "T--SF(minilm)"
    for typed in ("/home/me/backbones/e5-small", "~/e5-small", "../x/e5-small"):  # cards are read by others
        assert str(label_of(config(encoders__text__backbone=typed))) == "T--EF(e5-small)"
    assert str(label_of(config(encoders__text__backbone="backbones/e5-small"))) == "T--EF(backbones__e5-small)"


@pytest.mark.parametrize("text", ["", "T-EF(minilm)", "X--EF(minilm)", "T--EF()", "T--EX(minilm)", "T--EF(minilm"])
def test_what_is_no_label_is_refused(text: str) -> None:
    with pytest.raises(MerError, match="is not a checkpoint label"):
        Label.parse(text)


def test_distillation_is_part_of_a_methods_name():
    tree = {"encoders": {"audio": {}}, "distill": {"teacher": "exports/t"}}
    config = TrialConfig.model_validate(tree)
    assert method_name(config) == "ce with kd-dist-similarity(temp=4, a=1, kappa=1, b=1)"
    tree["encoders"] |= {"video": {}}
    tree |= {
        "fusion": {"kind": "late"},
        "distill": {"source": "fused", "mode": "joint", "response": "kl", "feature": "none"},
    }
    assert method_name(TrialConfig.model_validate(tree)) == "A+V Late ce with self-kd-joint-kl(temp=4, a=1)"


def test_tuned_encoders_are_named_and_the_label_has_the_mode_of_the_most_tuned():
    alone = config(**{"encoders.text.mode": "lora", "encoders.text.lora.rank": 8})
    assert method_name(alone) == "ce LoRA(rank=8)" and str(label_of(alone)) == "T--EL(minilm)"
    tree = {
        "encoders": {"text": {}, "audio": {"backbone": "org/wavlm", "mode": "full"}, "video": {}},
        "fusion": {"kind": "concat"},
    }
    fused = TrialConfig.model_validate(tree)
    assert method_name(fused) == "T+A+V Concat ce A-full"
    assert str(label_of(fused)).startswith("T+A+V--ET--Concat(")
