"""Whether an export's weights are those of its configuration, found out before any memory is taken for the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mer.checkpoints.tensors import under
from mer.config import EncodersConfig, TrialConfig
from mer.errors import MerError
from mer.models.weight_names import ENCODERS
from mer.training import build_model
from mer.training.data import Layers

WORDS = "label_text.words_CLD"  # tensor of an export: features of the label words, if prediction reads them


def refuse_unfit(
    path: Path,
    config: TrialConfig,
    layers: Layers,
    width: int | dict[str, int],
    classes: int,
    tensors: Mapping[str, Tensor],
) -> None:
    """Compare names, shapes and types of the weights with the model of the configuration, built without memory.

    Weights inside tuned encoders are left to the loading of the model; of these, the width of adapters is compared.

    Args:
        path: of the weights, for the message.
        layers, width, classes: as `build_model` takes them.
        tensors: the weights by name.
    Raises: MerError.
    """
    if config.head.depth > len(tensors):
        raise unfit(path, f"head.depth is {config.head.depth}, and there are {len(tensors)} weights")
    of_head = {name: tuple(tensor.shape) for name, tensor in under("model", dict(tensors)).items()}
    of_head = {name: shape for name, shape in of_head.items() if ENCODERS not in name.split(".")}
    try:
        with torch.device("meta"):
            model = build_model(_frozen(config), layers=layers, width=width, classes=classes)
    except RuntimeError as fault:  # sizes that no tensor can have
        raise unfit(path, " ".join(str(fault).split())[:300]) from fault
    built = model.state_dict()
    wanted = {name: tuple(tensor.shape) for name, tensor in built.items()}
    for name in sorted(wanted.keys() | of_head.keys()):
        if wanted.get(name) != of_head.get(name):
            raise unfit(path, f"{name} is {_shape(of_head.get(name))}, and should be {_shape(wanted.get(name))}")
        if built[name].is_floating_point() != tensors[f"model.{name}"].is_floating_point():
            raise unfit(path, f"{name} is of type {tensors[f'model.{name}'].dtype}")
    for modality, encoder in config.tuned.items():
        ranks = {tensor.shape[0] for name, tensor in tensors.items() if ".lora_A." in name and f".{modality}." in name}
        if encoder.mode == "lora" and ranks - {encoder.lora.rank}:
            raise unfit(path, f"adapters of {modality} have rank {max(ranks)}, and should have {encoder.lora.rank}")
    _refuse_words(path, config, layers, width, classes, tensors.get(WORDS))


def unfit(path: Path, why: str) -> MerError:
    """Word the refusal of weights that are not those of their configuration."""
    return MerError(path, f"its weights do not fit config.json: {why}", then="export the trial again")


def _refuse_words(
    path: Path, config: TrialConfig, layers: Layers, width: int | dict[str, int], classes: int, words: Tensor | None
) -> None:
    if config.training.prediction != "nearest_anchor":
        return
    if isinstance(width, dict):  # a model of dialogues
        (width,), (layers,) = width.values(), layers.values()
    found = None if words is None else tuple(words.shape)
    if found != (classes, len(layers), width):
        raise unfit(path, f"{WORDS} is {_shape(found)}, and should be {_shape((classes, len(layers), width))}")


def _frozen(config: TrialConfig) -> TrialConfig:
    """Return the configuration of the same head on encoders that are not trained."""
    encoders: dict[str, Any] = {
        modality: encoder.model_copy(update={"mode": "frozen"}) for modality, encoder in config.encoders.present.items()
    }
    return config.model_copy(update={"encoders": EncodersConfig.model_construct(**encoders)})


def _shape(shape: tuple[int, ...] | None) -> str:
    return "not there" if shape is None else " x ".join(map(str, shape)) or "a number"
