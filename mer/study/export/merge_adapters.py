"""Add adapters into the weights that they change, so that the model needs no peft."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mer.checkpoints.tensors import prefixed, under
from mer.config import TrialConfig
from mer.errors import MerError
from mer.models.adapters import merge_adapters
from mer.models.weight_names import backbone_prefix
from mer.training import Layers, build_model


def merged(
    config: TrialConfig,
    tensors: Mapping[str, Tensor],
    *,
    layers: Layers,
    width: int | dict[str, int],
    classes: int,
) -> dict[str, Tensor]:
    """Merge a trial's adapters. The result has the names of a fully tuned trial: every layer above the frozen ones.

    Args:
        tensors: weights of the trial.
        layers, width, classes: as `build_model` takes them.
    Raises: MerError when the trial has no adapters.
    """
    adapted_ones = [modality for modality, encoder in config.tuned.items() if encoder.mode == "lora"]
    if not adapted_ones:
        modes = ", ".join(dict.fromkeys(encoder.mode for encoder in config.encoders.present.values()))
        raise MerError("--merge", f"there is nothing to merge: the encoder's mode is {modes}", allowed="mode: lora")
    adapted, plain = (
        build_model(config, layers=layers, width=width, classes=classes, adapters=adapters)
        for adapters in (True, False)
    )
    adapted.load_state_dict(under("model", dict(tensors)))
    changed: dict[str, Tensor] = {}
    for modality in adapted_ones:  # merging in place is safe: this model was built for it
        prefix = backbone_prefix(config, modality)
        changed |= prefixed(prefix.removesuffix("."), merge_adapters(adapted.tuned[modality].model))
    rest = {name: tensor for name, tensor in adapted.state_dict().items() if ".lora_" not in name}
    return prefixed("model", plain.state_dict() | rest | changed)
