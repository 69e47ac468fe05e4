"""Say which trials can share a program: those of one shape. Everything that is no shape may differ between members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mer.config import EACLConfig, Fusion, SelfMMFusion, SPCLConfig, TrialConfig
from mer.files import sha256_json

_FUSION_RATES = ("dropout", "modality_dropout", "threshold")
_FUSION_WEIGHTS = (
    "own_loss", "balance_weight", "z_weight", "similarity_weight", "difference_weight", "reconstruction_weight",
)  # fmt: skip
_LOSS_SWITCHES = ("kind", "form", "small_pool", "orthogonalize", "anchors", "proto_init", "prototypes")


@dataclass(frozen=True)
class Shape:
    """Name the structure that the members of a pack have in common.

    Args:
        key: equal for trials that can share a program; a trial with a `reason` has one of its own.
        reason: why the trial trains alone, in words; "" when it can share.
    """

    key: str
    reason: str = ""

    @property
    def is_packable(self) -> bool:
        return not self.reason


def shape_of(config: TrialConfig) -> Shape:
    """Read a configuration's shape.

    Members may differ in seed, rates, schedules, warm-up, weight decay, clipping, dropout, temperatures, loss
    weights, label smoothing, focal gamma, Huber's delta, weights of classes and labels, logit adjustment, pool size,
    support size, prototype gains, averaging, epochs, patience, how a teacher's outputs are weighed and filtered,
    dropout of modalities, the threshold of shifting, weights of a fusion's own losses, of adversarial moves and of the
    contrast between modalities, in which hidden states they read, as long as these are equally many, and in how their
    text encoder reads an utterance (context, pooler, speaker).
    """
    if reason := _alone(config):
        return Shape(sha256_json(config.model_dump(mode="json")), reason)
    return Shape(sha256_json(_structure(config)))


def _alone(config: TrialConfig) -> str:
    """Say why no other trial can share a program with this one; "" when others can."""
    contrastive = config.loss.contrastive
    if config.tuned:
        return "it trains an encoder"
    if config.keeps_states:
        return "it reads states of tokens or frames (pooler none)"
    if config.reads_dialogues:
        return "it reads whole dialogues"
    if isinstance(config.fusion, SelfMMFusion) and config.fusion.unimodal_weight:
        return "it makes labels for each modality of its rows (fusion.kind self_mm)"
    if isinstance(contrastive, SPCLConfig) and contrastive.curriculum:
        return "its curriculum chooses the rows of each epoch"
    if isinstance(contrastive, EACLConfig) and contrastive.stage_two_epochs:
        return "it has a second stage"
    return ""


def _structure(config: TrialConfig) -> dict[str, Any]:
    """Return the settings that decide shapes and structure, JSON-able."""
    encoders = {}
    for modality, encoder in config.encoders.present.items():
        dumped = encoder.model_dump(mode="json")
        layers = dumped.pop("layers")
        if modality == "text":  # how it reads utterances decides features, not their shape: every text has a row
            dumped = {"backbone": dumped["backbone"]}
        encoders[modality] = dumped | {"layers": len(layers) if isinstance(layers, list) else _layer_words(layers)}
    loss, head = config.loss, config.head
    distill = config.distill
    return {
        "distill": distill and [distill.teacher, distill.source, distill.mode, distill.response, distill.feature],
        "data": config.data.model_dump(mode="json"),
        "encoders": encoders,
        "head": [head.hidden, head.depth if head.hidden else 0, head.layer_mix, head.input_norm],
        "classification": [loss.classification.kind, loss.classification.probe],
        "regression": loss.regression.kind if config.data.task == "regression" else None,
        "contrastive": {name: getattr(loss.contrastive, name, None) for name in _LOSS_SWITCHES},
        "earlier": getattr(loss.contrastive, "earlier_share", 0.0),
        "further losses": [loss.adversarial.weight > 0, loss.cross_modal.weight > 0],
        "batch_size": config.optim.batch_size,
        "prediction": config.training.prediction,
        "fusion": None if config.fusion is None else _fusion(config.fusion),
    }


def _fusion(fusion: Fusion) -> dict[str, Any]:
    """Return a fusion's structure. Of a weight only whether there is such a loss."""
    dumped = fusion.model_dump(mode="json")
    kept = {name: value for name, value in dumped.items() if name not in _FUSION_RATES}
    return kept | {name: dumped[name] > 0 for name in _FUSION_WEIGHTS if name in dumped}


def _layer_words(layers: str) -> int | str:
    """'last' is one hidden state; how many 'all' is, the backbone decides."""
    return 1 if layers == "last" else layers
