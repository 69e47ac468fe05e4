"""Four dialogues of separable utterances, as the worker sees them: half precision, several layers, read-only."""

from __future__ import annotations

from typing import Any

import numpy as np

from mer.config import TrialConfig, nest
from mer.training import SplitArrays, TrainingData, TrainingRun

CLASSES = ("neutral", "joy", "anger")
LAYERS, WIDTH = 3, 12


def split(name: str, dialogues: int, noise: float = 0.3, seed: int = 0) -> SplitArrays:
    rng = np.random.default_rng([seed, len(name)])
    labels = np.tile([0, 1, 0, 2, 0, 1, 2, 0, 1], dialogues)
    features = np.eye(LAYERS * WIDTH)[labels * 5].reshape(-1, LAYERS, WIDTH)
    features = features + np.roll(features, 1, axis=1) + noise * rng.standard_normal(features.shape)
    ids = tuple(f"{name}/dia{row // 9}_utt{row % 9}" for row in range(len(labels)))
    return read_only(SplitArrays(ids, features.astype(np.float16), labels))


def read_only(arrays: SplitArrays) -> SplitArrays:
    arrays.features_NLD.setflags(write=False)
    arrays.labels_N.setflags(write=False)
    return arrays


def toy_data(noise: float = 0.3, seed: int = 0) -> TrainingData:
    words = np.eye(LAYERS * WIDTH)[np.arange(3) * 5].reshape(3, LAYERS, WIDTH).astype(np.float16)
    words.setflags(write=False)
    return TrainingData(split("train", 4, noise, seed), split("dev", 2, noise, seed), CLASSES, words)


def toy_config(**dotted: Any) -> TrialConfig:
    """toy_config(loss__contrastive__kind="spcl"): `__` stands for the dot."""
    settings: dict[str, Any] = {
        "head.hidden": 16,
        "optim.batch_size": 8,
        "optim.head_lr": 0.02,
        "training.epochs": 3,
        "head.dropout": 0.2,
        "head.input_dropout": 0.1,
    }
    settings |= {key.replace("__", "."): value for key, value in dotted.items()}
    return TrialConfig.model_validate(nest(settings))


def toy_run(data: TrainingData | None = None, layers: list[int] | None = None, **dotted: Any) -> TrainingRun:
    return TrainingRun(toy_config(**dotted), data or toy_data(), layers or [0, 2])


def loss(kind: str, **options: Any) -> dict[str, Any]:
    return {"loss__contrastive__kind": kind} | {f"loss__contrastive__{name}": value for name, value in options.items()}


def told(row: dict[str, float]) -> dict[str, float]:
    """A row without the clock."""
    return {name: value for name, value in row.items() if name not in ("seconds", "timestamp_ms")}


def outcome(run: TrainingRun) -> dict[str, Any]:
    """Everything of a run that must be reproducible, comparable with `==`: numbers as bytes."""
    tensors = run.state()[0]
    return {
        "rows": [told(row) for row in run.history],
        "best": told(run.member.best.row) if run.member.best.row else None,
        "tensors": {name: (str(t.dtype), t.numpy().tobytes()) for name, t in tensors.items()},
        "best_tensors": {name: t.numpy().tobytes() for name, t in run.member.best.tensors.items()},
    }


SUPPORT = {"pool_size": 16, "support_size": 4}
# every contrastive kind and every form of it; then every way to read layers, to normalise, and to predict
VARIANTS: dict[str, dict[str, Any]] = {
    "none": loss("none"),
    "focal-weighted": {
        "loss__classification__kind": "focal",
        "loss__classification__class_weight": "effective",
        "loss__classification__logit_adjustment": 0.5,
    },
    "supcon": loss("supcon"),
    "spcl": loss("spcl", **SUPPORT),
    "spcl-probe": loss("spcl", **SUPPORT) | {"loss__classification__probe": True},
    "spcl-curriculum": loss("spcl", **SUPPORT, curriculum=True),
    "spcl-spdcl-center": loss("spcl", **SUPPORT, form="spdcl", small_pool="center", hinge=0.1),
    "apcl-polar": loss("apcl"),
    "apcl-qr": loss("apcl", orthogonalize="qr_signed"),
    "apcl-none": loss("apcl", orthogonalize="none", anchors="all"),
    "adversarial": {"loss__adversarial__weight": 0.5, "loss__adversarial__epsilon": 0.3},
    "adversarial-spcl": loss("spcl", **SUPPORT) | {"loss__adversarial__weight": 0.5, "loss__adversarial__epsilon": 0.3},
    "adversarial-eacl": loss("eacl") | {"loss__adversarial__weight": 1.0},
    "apcl-particles": loss("apcl", prototypes=2),
    "apcl-particles-all": loss("apcl", prototypes=3, orthogonalize="none", anchors="all"),
    "apcl-label-text": loss("apcl", proto_init="label_text"),
    "eacl": loss("eacl"),
    "eacl-anchors": loss("eacl") | {"training__prediction": "nearest_anchor"},
    "eacl-two-stages": loss("eacl", stage_two_epochs=2, stage_two_lr=0.01)
    | {"training__prediction": "nearest_anchor", "training__epochs": 5},
    "concat-none": {"head__layer_mix": "concat", "head__input_norm": "none"},
    "mean-layernorm": {"head__layer_mix": "mean", "head__input_norm": "layernorm", "head__depth": 2},
    "learned-standardize": {"head__layer_mix": "learned", "head__input_norm": "standardize"},
    "linear-probe": {"head__hidden": 0},
    "nearest-center": {"training__prediction": "nearest_center"},
    "spcl-nearest-center": loss("spcl", **SUPPORT, curriculum=True) | {"training__prediction": "nearest_center"},
    "min-linear": {"training__metric": "dev_loss", "training__mode": "min", "optim__schedule": "linear"},
    "averaged": loss("spcl", **SUPPORT) | {"optim__ema_decay": 0.9},
    "walked": loss("spcl", **SUPPORT) | {"optim__swa__kind": "cyclical", "optim__swa__start": 0.3},
    "averaged-eacl-two-stages": loss("eacl", stage_two_epochs=2, stage_two_lr=0.01)
    | {"training__prediction": "nearest_anchor", "training__epochs": 5, "optim__ema_decay": 0.9},
    "patience": {"training__patience": 1, "optim__head_lr": 0.5, "training__epochs": 8},
}
