"""Adapters added into the weights that they change: a model that needs peft no more."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mer.checkpoints.tensors import prefixed, under
from mer.config import TrialConfig
from mer.errors import MerError
from mer.features import select_layers
from mer.models.adapters import BACKBONE, merge_adapters
from mer.training import build_model


def merged(config: TrialConfig, tensors: Mapping[str, Tensor], classes: int, hidden_states: int) -> dict[str, Tensor]:
    """The weights of a trial with adapters, as those of one whose layers were trained: all layers above the frozen
    ones, and the rest as it is.

    Raises: MerError when the trial has no adapters.
    """
    ((modality, encoder),) = config.tuned.items() or [("text", None)]
    if encoder is None or encoder.mode != "lora":
        mode = "frozen" if encoder is None else encoder.mode
        raise MerError("--merge", f"there is nothing to merge: the encoder's mode is {mode}", allowed="mode: lora")
    layers = select_layers(encoder.layers, hidden_states, f"encoders.{modality}.layers")
    adapted, plain = (
        build_model(config, layers=layers, width=0, classes=classes, adapters=adapters) for adapters in (True, False)
    )
    adapted.load_state_dict(under("model", dict(tensors)))
    changed = prefixed(BACKBONE.rstrip("."), merge_adapters(adapted.encoder.model))  # its own weights: read just now
    head = {name: tensor for name, tensor in adapted.state_dict().items() if not name.startswith(BACKBONE)}
    return prefixed("model", plain.state_dict() | head | changed)
