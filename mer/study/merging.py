"""Adapters added into the weights that they change: a model that needs peft no more."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mer.checkpoints.tensors import prefixed, under
from mer.errors import MerError
from mer.features import FeatureTable
from mer.models.adapters import backbone_prefix, merge_adapters
from mer.study.trained import Trained
from mer.training import build_model
from trainables.shared_features import layers_of


def merged(trained: Trained, tensors: Mapping[str, Tensor], tables: Mapping[str, FeatureTable]) -> dict[str, Tensor]:
    """The weights of a trial with adapters, as those of one whose layers were trained: all layers above the frozen
    ones, and the rest as it is.

    Args: tables: of dev, by modality.
    Raises: MerError when the trial has no adapters.
    """
    config = trained.config
    adapted_ones = [modality for modality, encoder in config.tuned.items() if encoder.mode == "lora"]
    if not adapted_ones:
        modes = ", ".join(dict.fromkeys(encoder.mode for encoder in config.encoders.present.values()))
        raise MerError("--merge", f"there is nothing to merge: the encoder's mode is {modes}", allowed="mode: lora")
    layers = layers_of(config, {modality: table.hidden_states for modality, table in tables.items()})
    widths = {modality: table.features.shape[2] for modality, table in tables.items()}
    width = widths if config.fusion is not None else next(iter(widths.values()))
    classes = len(trained.class_names)
    adapted, plain = (
        build_model(config, layers=layers, width=width, classes=classes, adapters=adapters)
        for adapters in (True, False)
    )
    adapted.load_state_dict(under("model", dict(tensors)))
    changed: dict[str, Tensor] = {}
    for modality in adapted_ones:  # their own weights: read just now
        prefix = backbone_prefix(config, modality)
        changed |= prefixed(prefix.removesuffix("."), merge_adapters(adapted.tuned[modality].model))
    rest = {name: tensor for name, tensor in adapted.state_dict().items() if ".lora_" not in name}
    return prefixed("model", plain.state_dict() | rest | changed)
