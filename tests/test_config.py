"""The frozen trial configuration: what it refuses, and in which words."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from mer.config import Frozen, TrialConfig, flatten, nest, student_config


def build(**dotted: Any) -> TrialConfig:
    return TrialConfig.model_validate(nest({key.replace("__", "."): value for key, value in dotted.items()}))


def test_the_defaults_are_a_valid_configuration():
    config = TrialConfig()
    assert config.loss.contrastive.kind == "none"
    assert TrialConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("kind", ["none", "supcon", "spcl", "apcl", "eacl"])
def test_json_round_trip(kind):
    config = build(loss__contrastive__kind=kind, encoders__text={"layers": [1, -1]})
    assert TrialConfig.model_validate_json(config.model_dump_json()) == config
    assert hash(config) == hash(TrialConfig.model_validate(config.model_dump()))


def models(model: type[BaseModel] = Frozen) -> list[type[BaseModel]]:
    return [model, *(found for child in model.__subclasses__() for found in models(child))]


def test_every_model_is_frozen_and_refuses_unknown_keys():
    ours = [model for model in models() if model.__module__.startswith("mer.config")]
    assert len(ours) > 12
    for model in ours:
        assert model.model_config["frozen"] and model.model_config["extra"] == "forbid", model
    config = TrialConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.optim.head_lr = 3


@pytest.mark.parametrize("path", ["sead", "optim__lr", "encoders__smell", "data__test_root", "loss__contrastive__tau"])
def test_unknown_keys_are_refused(path):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        build(**{"loss__contrastive__kind": "supcon", path: 1})


SPCL, EACL = {"loss__contrastive__kind": "spcl"}, {"loss__contrastive__kind": "eacl"}
FUSED = {"encoders__text": {}, "encoders__audio": {}, "fusion__kind": "concat"}
TUNED = {"encoders__text": {"mode": "lora"}}
PROBED = {"loss__classification__probe": True}
TAUGHT: dict[str, Any] = {"encoders__audio": {}, "distill__teacher": "exports/t"}
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"encoders__audio": {"mode": "lora"}}, "encoders.audio.mode 'lora': melstats has no weights to tune"),
    ({"encoders__video": {"mode": "full"}}, "encoders.video.mode 'full': framestats has no weights to tune"),
    (TUNED | {"loss__contrastive__kind": "eacl"}, "loss.contrastive.kind 'eacl' reads the label words, which are not"),
    (
        TUNED | {"loss__classification__probe": True},
        "encoders.text.mode 'lora' learns nothing with loss.classification",
    ),
    ({"encoders__text": {}, "optim__encoder_lr": 1e-4}, "optim.encoder_lr is of a tuned encoder, and encoders.*.mode"),
    ({"encoders__text": {}, "optim__micro_batch": 4}, "optim.micro_batch is of a tuned encoder"),
    ({"encoders__text": {"lora": {"rank": 4}}}, "lora has no meaning with mode 'frozen': it needs mode: lora"),
    (
        {"encoders__text": {"freeze_layers": 4}},
        "freeze_layers has no meaning with mode 'frozen': it needs mode: lora or",
    ),
    ({"encoders__text": {"mode": "lora", "full": {"layer_decay": 0.5}}}, "full has no meaning with mode 'lora'"),
    ({"encoders__text": {"mode": "lora", "lora": {"targets": ["q", "q"]}}}, "targets must be distinct names"),
    (
        {"encoders__text": {"mode": "full", "freeze_layers": 1, "full": {"embeddings": True}}},
        "full.embeddings needs freeze_layers: 0, got 1",
    ),
    ({"encoders__text": {"context": {"past": -1}}}, "past must be 0 or more, or 'all', got -1"),
    (
        {"encoders__text": {"pooler": "mask"}},
        "pooler 'mask' reads the hidden state at the mask token: set prompt: true",
    ),
    ({"encoders__text": {"layers": [2, 2]}}, r"layers must be distinct and at least one, got \[2, 2\]"),
    ({"encoders__text": {"layers": []}}, r"layers must be distinct and at least one, got \[\]"),
    (
        {"loss__classification": {"kind": "focal", "label_smoothing": 0.1}},
        "label_smoothing is defined for kind 'ce' only; set it to 0 with 'focal'",
    ),
    (
        {**SPCL, "loss__contrastive__pool_size": 8, "loss__contrastive__support_size": 9},
        "support_size must be at most pool_size, got support_size=9 with pool_size=8",
    ),
    (
        {"loss__contrastive": {"kind": "apcl", "beta": 2.2, "gamma": 0.1}},
        r"prototypes diverge unless beta < 2 \(1 \+ gamma\), got beta=2.2 with gamma=0.1",
    ),
    (
        {"loss__contrastive__kind": "supcon", "head__hidden": 0},
        "kind 'supcon' acts on h, which a frozen encoder cannot change: head.hidden must be 1 or more",
    ),
    (
        PROBED | {"loss__contrastive": {"kind": "apcl", "weight": 0.5}},
        r"loss\.contrastive\.weight must be 1 with loss\.classification\.probe, got 0\.5: .*probe: false",
    ),
    (
        PROBED | EACL | {"loss__contrastive__ce_weight": 0.5},
        r"loss\.contrastive\.ce_weight must be 0\.1 with loss\.classification\.probe, got 0\.5",
    ),
    (
        PROBED | TAUGHT | {"distill__feature": "none", "loss__contrastive": {"kind": "supcon", "weight": 0.5}},
        r"loss\.contrastive\.weight must be 1 with loss\.classification\.probe, got 0\.5",
    ),
    ({"training__prediction": "nearest_anchor"}, "'nearest_anchor' needs loss.contrastive.kind 'eacl'"),
    (
        {**EACL, "loss__contrastive__stage_two_epochs": 5, "training__epochs": 5},
        r"stage_two_epochs must be below the number of epochs \(5\), got 5",
    ),
    ({**EACL, "loss__contrastive__stage_two_epochs": 2}, "stage two adapts the anchors: .* 'nearest_anchor'"),
    ({**EACL, "loss__contrastive__weight": 1.0}, "Extra inputs"),
    ({"loss__contrastive__kind": "simclr"}, "'none', 'supcon', 'spcl', 'apcl', 'eacl'"),
    ({"optim__head_lr": math.nan}, "finite"),
    ({"optim__head_lr": 0}, "greater than 0"),
    ({"optim__batch_size": 1}, "greater than or equal to 2"),
    ({"head__dropout": 1.0}, "less than 1"),
    ({"seed": 2**31}, "less than"),
    ({"training__metric": 3}, "string"),
    (
        {"dialogue__kind": "gru", "encoders__text": {}, "head__hidden": 0},
        "dialogue.kind 'gru' reads h here: head.hidden must be 1 or more",
    ),
    (
        {"dialogue": {"kind": "attention", "heads": 3}, "encoders__audio": {}, "head__hidden": 64},
        "head.hidden must be a multiple of dialogue.heads, got 64 with 3",
    ),
    ({"dialogue": {"kind": "graph", "reach": 0}}, "greater than or equal to 1"),
    ({"dialogue": {"kind": "graph", "speakers": "relative"}}, "Extra inputs"),
    ({"dialogue": {"kind": "gru", "speakers": "names"}}, "'none' or 'relative'"),
    (
        {**FUSED, "dialogue__kind": "gru", "data__dataset": "ravdess"},
        "data.dataset 'ravdess' has no dialogues: dialogue.kind must be 'none'",
    ),
    (
        {**FUSED, "dialogue__kind": "gru", "fusion__kind": "late"},
        "fusion.kind 'late' classifies by itself and leaves nothing for dialogue to read",
    ),
    (
        {**FUSED, "dialogue": {"kind": "attention", "heads": 3}, "fusion__width": 64},
        "fusion.width must be a multiple of dialogue.heads, got 64 with 3",
    ),
    (
        {**FUSED, **SPCL, "dialogue__kind": "gru", "loss__contrastive__curriculum": True},
        "loss.contrastive.curriculum draws single utterances, dialogue trains on whole dialogues",
    ),
    (
        {**FUSED, "dialogue__kind": "gru", "encoders__text": {"context": {"future": 2}}},
        "dialogue.setting 'online' reads no later utterance, but encoders.text.context.future is 2: set it to 0, or "
        "dialogue.setting: offline",
    ),
    ({**FUSED, "dialogue__kind": "lstm"}, "'none', 'gru', 'attention', 'graph'"),
    ({**FUSED, "dialogue": {"kind": "gru", "heads": 2}}, "Extra inputs"),
    ({**FUSED, "dialogue": {"kind": "gru", "setting": "live"}}, "'online' or 'offline'"),
]


@pytest.mark.parametrize(("settings", "message"), FAULTS, ids=[message[:40] for _, message in FAULTS])
def test_each_fault_says_what_and_why(settings, message):
    with pytest.raises(ValidationError, match=message):
        build(**settings)


def test_settings_at_the_edge_are_allowed():
    build(encoders__text={"context": {"past": "all"}, "pooler": "mask", "prompt": True})
    build(**SPCL, loss__contrastive__pool_size=8, loss__contrastive__support_size=8)
    build(loss__contrastive={"kind": "apcl", "beta": 2.19, "gamma": 0.1})
    build(
        **EACL,
        loss__contrastive__stage_two_epochs=4,
        training__epochs=5,
        training__prediction="nearest_anchor",
    )
    build(loss__classification={"kind": "focal", "label_smoothing": 0.0})
    build(**FUSED, **SPCL, dialogue__kind="attention")
    build(**PROBED, **SPCL)
    build(**FUSED | {"fusion__kind": "tgmoe"}, **PROBED, **SPCL, loss__contrastive__weight=0.5)
    offline = {"kind": "gru", "setting": "offline"}
    build(**FUSED | {"encoders__text": {"context": {"future": 2}}}, dialogue=offline)


def test_what_a_configuration_does_not_have_is_not_in_its_dump():
    """So that configurations keep their hashes when kinds of parts are added."""
    text = {"encoders__text": {}}
    assert build(**text) == build(**text, dialogue__kind="none")
    assert set(build(**text).model_dump(mode="json")) == {
        "seed", "data", "encoders", "head", "loss", "optim", "training",
    }  # fmt: skip
    fused = build(**FUSED, dialogue__kind="none")
    assert "dialogue" not in fused.model_dump() and "dialogue" not in fused.model_dump_json()
    told = build(**FUSED, dialogue__kind="gru")
    assert told.model_dump(mode="json")["dialogue"] == {
        "kind": "gru", "setting": "online", "layers": 1, "dropout": 0.2,
    }  # fmt: skip
    for config in (fused, told):
        assert TrialConfig.model_validate_json(config.model_dump_json()) == config
        assert TrialConfig.model_validate(nest(flatten(config.model_dump(mode="json")))) == config


def test_flatten_and_nest_are_inverse():
    tree = {"a": {"b": {"c": 1, "d": [1, {"x": 2}]}, "e": None}, "f": "text"}
    flat = {"a.b.c": 1, "a.b.d": [1, {"x": 2}], "a.e": None, "f": "text"}
    assert flatten(tree) == flat and nest(flat) == tree
    assert flatten({"a.b": {"c": 1}}) == {"a.b.c": 1}
    assert flatten({"a": {}}) == {} == nest({})
    config = build(**SPCL, encoders__text={})
    assert TrialConfig.model_validate(nest(flatten(config.model_dump(mode="json")))) == config


TAUGHT_TWO = TAUGHT | {"encoders__video": {}, "fusion__kind": "concat"}
SELF = {"encoders__audio": {}, "encoders__video": {}, "fusion__kind": "concat", "distill__source": "fused"}


def test_a_configuration_without_distillation_does_not_mention_it():
    assert "distill" not in build().model_dump() and "distill" in build(**TAUGHT).model_dump()


def test_a_student_alone_has_the_merged_configuration_without_the_others():
    merged = build(**TAUGHT_TWO, distill__audio__head_lr=0.01)
    alone = student_config(merged, "audio")
    assert alone == build(**TAUGHT, distill__audio__head_lr=0.01)
    assert TrialConfig.model_validate(alone.model_dump(mode="json")) == alone


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"encoders__audio": {}, "distill__source": "teacher"}, "distill.teacher is missing"),
        (TAUGHT | {"distill__source": "fused"}, "remove teacher"),
        (SELF, "needs mode: joint and feature: none"),
        (SELF | {"distill__mode": "joint"}, "needs mode: joint and feature: none"),
        (TAUGHT | {"distill__response": "none", "distill__feature": "none"}, "nothing is distilled"),
        (
            TAUGHT_TWO | {"distill__video__weight": 0.1},
            "distill.video.weight must be 1 with distill.mode 'parallel', got 0.1: this",
        ),
        (
            TAUGHT | {"distill__audio__weight": 3.0},
            "distill.audio.weight must be 1 with distill.mode 'parallel', got 3",
        ),
        (
            TAUGHT_TWO | {"distill__fused_weight": 3.0},
            "distill.fused_weight must be 1 with distill.mode 'parallel', got 3: the",
        ),
        (
            TAUGHT_TWO | {"distill__warm_epochs": 1},
            "distill.warm_epochs must be 0 with distill.mode 'parallel', got 1",
        ),
        (
            TAUGHT_TWO | {"loss__classification__probe": True},
            "probe must be false beside distill with several encoders",
        ),
        (TAUGHT | {"encoders__video": {}}, "needs a fusion that joins the students"),
        (
            {"encoders__audio": {}, "distill__source": "fused", "distill__mode": "joint", "distill__feature": "none"},
            "needs several encoders and a fusion",
        ),
        (TAUGHT | {"loss__contrastive__kind": "spcl"}, "students take none, supcon, or apcl"),
        (TAUGHT | {"training__prediction": "nearest_center"}, "training.prediction 'head'"),
        (TAUGHT | {"head__hidden": 0}, "head.hidden must be 1 or more"),
        (TAUGHT_TWO | {"training__patience": 3}, "training.patience must be 0"),
        (
            TAUGHT_TWO | {"dialogue__kind": "gru", "head__hidden": 0, "distill__feature": "none"},
            "dialogue.kind 'gru' reads every student's h here: head.hidden must be 1 or more",
        ),
    ],
)
def test_distillations_that_cannot_be(settings: dict[str, Any], said: str):
    with pytest.raises(ValidationError) as caught:
        build(**settings)
    assert said in str(caught.value)


def test_patience_is_one_students_own_when_it_is_alone_or_joint():
    build(**TAUGHT, training__patience=3)
    build(**TAUGHT_TWO, training__patience=3, distill__mode="joint")
    build(**TAUGHT_TWO, distill__mode="joint", distill__audio__weight=3.0, distill__fused_weight=0.5)
    build(**TAUGHT_TWO | {"fusion__kind": "late"}, distill__fused_weight=0.5, loss__classification__probe=True)
    build(**TAUGHT, **PROBED, loss__contrastive={"kind": "supcon", "weight": 0.5})


def test_what_tuning_adds_does_not_touch_frozen_configurations():
    """Their dumps, and so their hashes, are those of before there was tuning."""
    dump = build(encoders__text={}, encoders__audio={}, fusion__kind="concat").model_dump(mode="json")
    text = {"revision", "mode", "layers", "backbone", "pooler", "context", "speaker", "prompt", "dtype"}
    assert dump["encoders"]["text"].keys() == text
    assert dump["optim"].keys() == {"head_lr", "weight_decay", "batch_size", "schedule", "warmup_ratio", "clip_norm"}


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_a_tuned_configuration_says_what_its_mode_reads(mode):
    config = build(encoders__text={"mode": mode, "freeze_layers": 2}, optim__micro_batch=4)
    dump = config.model_dump(mode="json")
    assert mode in dump["encoders"]["text"] and {"lora": "full", "full": "lora"}[mode] not in dump["encoders"]["text"]
    assert TrialConfig.model_validate(dump) == config
    assert TrialConfig.model_validate(nest(flatten(dump))) == config
    assert config.encoder_lr("text") == {"lora": 5e-4, "full": 2e-5}[mode]
    assert build(encoders__text={"mode": mode}, optim__encoder_lr=1e-3).encoder_lr("text") == 1e-3
    assert build(encoders__text={"mode": mode, "lr": 2e-3}, optim__encoder_lr=1e-3).encoder_lr("text") == 2e-3
    assert config.encoders.text is not None and config.encoders.text.first_tuned == 2


@pytest.mark.parametrize(
    ("modality", "settings", "start"),
    [
        ("text", {}, None),
        ("text", {"freeze_layers": 2, "split_cache": False}, None),
        ("audio", {}, 0),
        ("audio", {"freeze_layers": 3}, 3),
        ("audio", {"split_cache": False}, None),
        ("video", {"mode": "full", "full": {"embeddings": True}}, None),
    ],
)
def test_what_is_cached_of_a_tuned_encoder(modality, settings, start):
    """Token ids as they are; sound and pictures as the first layer reads them, unless what makes that is trained."""
    config = build(**{f"encoders__{modality}": {"backbone": "org/model", "mode": "lora", **settings}})
    assert config.encoders.present[modality].first_tuned == start


def test_a_recorded_configuration_is_read_although_a_space_may_not_ask_for_it():
    """An older version trained with weights that have no effect; its exports and trials are read."""
    data = {
        "encoders": {"audio": {}, "video": {}},
        "fusion": {"kind": "concat"},
        "distill": {"teacher": "exports/t", "mode": "parallel", "audio": {"weight": 3.0}, "fused_weight": 2.0},
    }
    with pytest.raises(ValidationError, match=r"must be 1 with distill\.mode 'parallel'"):
        TrialConfig.model_validate(data)
    read = TrialConfig.recorded(data)
    assert read.distill.audio.weight == 3.0 and read.distill.fused_weight == 2.0
    probe = {"loss": {"classification": {"probe": True}, "contrastive": {"kind": "supcon", "weight": 0.3}}}
    assert TrialConfig.recorded(probe).loss.contrastive.weight == 0.3
    with pytest.raises(ValidationError, match="extra"):  # all else is checked as ever
        TrialConfig.recorded({"sead": 1})
