"""For each configuration key a value that must change a short run, or the reason why no value can.

`names` lists the keys from the Pydantic models, those of a union once per kind: "fusion.heads (tgmoe)".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel

from mer.config import MAPPINGS, TrialConfig, flatten
from mer.study.space.keys import models_in


class Case(NamedTuple):
    """A change that must act, where `given` holds: both map dotted keys to values."""

    change: dict[str, Any]
    given: dict[str, Any]


def names(model: type[BaseModel] = TrialConfig, prefix: str = "", kind: str = "") -> Iterator[str]:
    """Every key, with " (kind)" behind it where it belongs to one kind of a union."""
    for field_name, field in model.model_fields.items():
        inner = [] if f"{prefix}{field_name}" in MAPPINGS else models_in(field.annotation)
        for part in inner:
            of_union = f" ({part.model_fields['kind'].default})" if len(inner) > 1 else kind
            yield from names(part, f"{prefix}{field_name}.", of_union)
        if not inner:
            yield f"{prefix}{field_name}{'' if field_name == 'kind' else kind}"


def case_of(name: str) -> Case:
    """The case of a key, with the kind that it belongs to. Raises: KeyError when it has none."""
    key, _, kind = name.removesuffix(")").partition(" (")
    value, given = _CASES[name] if name in _CASES else _CASES[key]
    of_kind = {f"{key.rsplit('.', 1)[0]}.kind": kind} if kind else {}
    of_kind |= _NEEDED.get(kind, {})
    section = next((part for part in _GIVEN if key.startswith(f"{part}.")), "")
    settings = COMMON | _GIVEN.get(section, {}) | of_kind | given
    return Case(value if isinstance(value, dict) else {key: value}, settings)


# Never clipped: a loss weight that acts only where `optim.clip_norm` cuts one of two gradients does not count.
COMMON: dict[str, Any] = {
    "head.hidden": 16, "head.dropout": 0.2, "head.input_dropout": 0.1, "optim.batch_size": 8, "optim.head_lr": 0.02,
    "optim.clip_norm": 1e4, "training.epochs": 2,
}  # fmt: skip
THREE = flatten({"encoders": {m: {"layers": [0, 2]} for m in ("text", "audio", "video")}, "fusion": {"kind": "concat"}})
_FUSED = THREE | {"fusion.width": 16}
_GIVEN: dict[str, dict[str, Any]] = {
    "fusion": _FUSED,
    "dialogue": _FUSED,
    "distill": _FUSED | {"distill.teacher": "exports/teacher", "distill.warmup_steps": 4},
    "encoders.text": {"encoders.text.backbone": "roberta"},
    "encoders.audio": {"encoders.audio.backbone": "wav2vec2_layer"},
    "encoders.video": {"encoders.video.backbone": "clip_vision", "encoders.video.pooler": "mean"},
}

_NEEDED = {"mult": {"encoders.audio.pooler": "none", "encoders.audio.layers": [0]}}
_STATES = {"encoders.text.backbone": "roberta", "encoders.text.pooler": "none"}
_SUPPORT = {"loss.contrastive.pool_size": 16, "loss.contrastive.support_size": 4}
_ANCHORS = {"loss.contrastive.kind": "eacl", "training.prediction": "nearest_anchor"}
_JOINT = {"distill.mode": "joint"}
_BY_ITSELF = {"distill.source": "fused", "distill.teacher": None}

_CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "seed": (1, {}),
    "dialogue.kind": ("gru", {}),
    "dialogue.setting": ("offline", {}),
    "dialogue.layers": (2, {}),
    "dialogue.dropout": (0.6, {}),
    "dialogue.heads": (2, {}),
    "dialogue.speakers": ("relative", {}),
    "dialogue.reach": (3, {}),
    "fusion.kind": ("lmf", {}),
    "fusion.width": (32, {}),
    "fusion.dropout": (0.6, {}),
    "fusion.modality_dropout": (0.5, {}),
    "fusion.depth": (2, {}),
    "fusion.rank": (2, {}),
    "fusion.factor_width": (8, {}),
    "fusion.layers": (2, {}),
    "fusion.layers (mult)": (1, {}),
    "fusion.heads": (2, {}),
    "fusion.heads (misa)": (4, {}),
    "fusion.read": ("mean", {}),
    "fusion.threshold": (1.0, {}),
    "fusion.experts": (3, {}),
    "fusion.top_k": (1, {}),
    "fusion.noise": (False, {}),
    "fusion.balance": ("cv2", {"fusion.balance_weight": 0.5}),
    "fusion.balance_weight": (0.5, {}),
    "fusion.z_weight": (0.5, {}),
    "fusion.own_loss": (0.0, {}),
    "fusion.subspace_width": (32, {}),
    "fusion.similarity_weight": (5.0, {}),
    "fusion.difference_weight": (5.0, {}),
    "fusion.reconstruction_weight": (0.0, {}),
    "fusion.stream_width": (16, {}),
    "fusion.own_width": (16, {}),
    "fusion.unimodal_weight": (5.0, {"training.epochs": 4}),  # labels move in the second epoch, and teach in the third
    "fusion.memory_layers": (2, {}),
    "fusion.read (mult)": ("mean", {}),
    "head.pool": ("mean", _STATES),
    "head.pool_hops": (2, _STATES),
    **{f"encoders.{m}.max_states": (2, {f"encoders.{m}.pooler": "none"}) for m in ("text", "audio", "video")},
    "distill.source": (_BY_ITSELF, _JOINT | {"distill.feature": "none"}),
    "distill.mode": ("joint", {}),
    "distill.warm_epochs": (1, _JOINT),
    "distill.ce_weight": (3.0, {}),
    "distill.response": ("kl", {}),
    "distill.response_weight": (3.0, {}),
    "distill.temperature": (1.0, {}),
    "distill.inter_weight": (3.0, {}),
    "distill.intra_weight": (3.0, {}),
    "distill.feature": ("none", {}),
    "distill.feature_weight": (3.0, {}),
    "distill.feature_temperature": (0.1, {}),
    "distill.kd_filter": ("correct_only", {}),
    "distill.warmup_steps": (0, {}),
    "distill.fused_weight": (3.0, _JOINT),
    **{f"distill.{m}.head_lr": (0.005, {}) for m in ("text", "audio", "video")},
    **{f"distill.{m}.weight": (3.0, _JOINT) for m in ("text", "audio", "video")},
    "head.hidden": (12, {}),
    "head.depth": (2, {}),
    "head.dropout": (0.6, {}),
    "head.input_dropout": (0.6, {}),
    "head.layer_mix": ("mean", {}),
    "head.input_norm": ("none", {}),
    "loss.classification.kind": ("focal", {}),
    "loss.classification.label_smoothing": (0.3, {}),
    "loss.classification.focal_gamma": (0.5, {"loss.classification.kind": "focal"}),
    "loss.classification.class_weight": ("power", {}),
    "loss.classification.class_weight_exponent": (1.0, {"loss.classification.class_weight": "power"}),
    "loss.classification.logit_adjustment": (1.0, {}),
    "loss.classification.probe": (True, {}),
    "loss.adversarial.weight": (1.0, {}),
    "loss.adversarial.epsilon": (0.2, {"loss.adversarial.weight": 1.0}),
    "loss.cross_modal.weight": (1.0, _FUSED),
    "loss.cross_modal.temperature": (0.5, _FUSED | {"loss.cross_modal.weight": 1.0}),
    "loss.regression.kind": ("mae", {"data.task": "regression"}),
    "loss.regression.huber_delta": (0.1, {"data.task": "regression", "loss.regression.kind": "huber"}),
    "loss.multilabel.pos_weight_exponent": (1.0, {"data.task": "multilabel"}),
    "loss.contrastive.kind": ("supcon", {}),
    "loss.contrastive.weight": (3.0, {}),
    "loss.contrastive.temperature": (0.5, {}),
    "loss.contrastive.pool_size": (4, _SUPPORT),
    "loss.contrastive.support_size": (2, _SUPPORT),
    "loss.contrastive.form": ("spdcl", _SUPPORT),
    "loss.contrastive.hinge": (0.5, _SUPPORT),
    "loss.contrastive.hinge (apcl)": (0.5, {}),
    "loss.contrastive.small_pool": ("center", {}),
    "loss.contrastive.curriculum": (True, {}),
    "loss.contrastive.prototypes": (3, {}),
    "loss.contrastive.beta": (1.0, {}),
    "loss.contrastive.gamma": (0.5, {}),
    "loss.contrastive.orthogonalize": ("none", {}),
    "loss.contrastive.proto_init": ("label_text", {}),
    "loss.contrastive.anchors": ("all", {}),
    "loss.contrastive.ce_weight": (0.5, {}),
    "loss.contrastive.angle_weight": (3.0, {}),
    "loss.contrastive.stage_two_epochs": (1, _ANCHORS),
    "loss.contrastive.stage_two_lr": (0.05, _ANCHORS | {"loss.contrastive.stage_two_epochs": 1}),
    "optim.head_lr": (0.01, {}),
    "optim.encoder_lr": (0.05, {"encoders.text.backbone": "roberta", "encoders.text.mode": "lora"}),
    "optim.weight_decay": (1.0, {}),
    "optim.batch_size": (12, {}),
    "optim.schedule": ("constant", {}),
    "optim.warmup_ratio": (0.5, {}),
    "optim.clip_norm": (0.01, {}),
    "optim.ema_decay": (0.5, {}),
    "optim.swa.kind": ("constant", {"training.epochs": 4}),
    "optim.swa.start": (0.25, {"training.epochs": 4}),
    "optim.swa.rate": (2.0, {"training.epochs": 4}),
    "optim.swa.lowest_rate": (0.4, {"training.epochs": 4}),
    "optim.swa.cycle_epochs": (2, {"training.epochs": 4, "optim.swa.start": 0.25}),
    "training.patience": (1, {"optim.head_lr": 0.5, "training.epochs": 8}),
    "training.prediction": ("nearest_center", {}),
    "encoders.text.pooler": ("first", {}),
    "encoders.text.prompt": (True, {}),
    "encoders.text.speaker": ("name", {}),
    "encoders.text.context.past": (1, {}),
    "encoders.text.context.future": (1, {}),
    "encoders.text.context.max_tokens": (8, {"encoders.text.context.past": "all"}),
    "encoders.audio.pooler": ("first", {}),
    "encoders.audio.max_seconds": (0.2, {}),
    "encoders.video.pooler": ("first", {}),
    "encoders.video.max_seconds": (0.2, {}),
    "encoders.video.frames": (2, {}),
}
_TARGET = {"text": "query", "audio": "q_proj", "video": "q_proj"}
for _modality, _target in _TARGET.items():
    _own = f"encoders.{_modality}"
    _LORA, _FULL = {f"{_own}.mode": "lora"}, {f"{_own}.mode": "full"}
    _CASES |= {
        f"{_own}.dtype": ("bfloat16", {}),
        f"{_own}.layers": ([1], {}),
        f"{_own}.mode": ("lora", {}),
        f"{_own}.lora.rank": (4, _LORA),
        f"{_own}.lora.alpha": (128.0, _LORA),
        f"{_own}.lora.dropout": (0.6, _LORA),
        f"{_own}.lora.targets": ([_target], _LORA),
        f"{_own}.lora.dora": (True, _LORA),
        f"{_own}.lora.rslora": (True, _LORA),
        f"{_own}.full.layer_decay": (0.01, _FULL | {f"{_own}.lr": 1e-3}),
        f"{_own}.full.embeddings": (True, _FULL),
        f"{_own}.lr": (0.05, _LORA),
        f"{_own}.freeze_layers": (1, _LORA),
        f"{_own}.tuned_dropout": (0.6, _LORA),
    }

SHOWN_ELSEWHERE = {
    "distill.review_levels": "tests/tuning/test_tuning_review.py",  # needs a tuned student and a teacher
    "loss.contrastive.earlier_share": "tests/training/test_training_earlier.py",  # needs longer dialogues
}

_FILES = "names files on this machine, whose content decides"
_SAME = "saves memory or time and gives the same numbers up to rounding"
CHANGE_NOTHING: dict[str, str] = {
    **{name: "what the corpus holds: a study refuses to search it" for name in names() if name.startswith("data.")},
    "training.epochs": "budget.epochs decides it",
    "training.metric": "objective.metric decides it",
    "training.mode": "objective.mode decides it",
    "distill.teacher": _FILES,
    "distill.other_context": "allows a teacher, and changes nothing of what it says",
    "optim.micro_batch": _SAME,
    "optim.moment_bits": "needs bitsandbytes; tests/tuning/test_tuning_precision.py",
    "training.compile": _SAME,
    "encoders.video.crops": _FILES,
    "encoders.video.face_detector": _FILES,
    **{f"encoders.{m}.backbone": _FILES for m in _TARGET},
    **{f"encoders.{m}.revision": _FILES for m in _TARGET},
    **{f"encoders.{m}.split_cache": _SAME for m in _TARGET},
    **{f"encoders.{m}.recompute": _SAME for m in _TARGET},
}
