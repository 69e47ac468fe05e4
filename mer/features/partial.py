"""A part of a pretrained text encoder: the layers between two of its hidden states.

Everything of the family but its list of layers is left as transformers wrote it (masks, position biases, a last norm):
the embeddings are replaced by a module that hands over given hidden states, and the list by the layers that are wanted,
under their own numbers. So one class serves all families, and weights keep the names they have in the whole model.

Shapes: B inputs, T tokens, L transformer layers (L+1 hidden states; 0 is the embeddings), D width.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mer.errors import MerError
from mer.features.backbones import BackboneFolder
from mer.features.encoder import load_text_model, without_pooler
from mer.features.loading import quiet, refusing

BaseWeights = Mapping[str, np.ndarray]  # by name in the whole model; may lie in shared memory: never written to


class GivenStates(nn.Module):
    """In the embeddings' place: hands over the hidden states it is given."""

    def forward(self, *, inputs_embeds: Tensor, **_: Any) -> Tensor:
        return inputs_embeds


class LayersBetween(nn.Module):
    """Some of a model's layers, under the numbers they have in the whole; iterated over as the whole list is."""

    def __init__(self, layers: nn.ModuleList, start: int, stop: int) -> None:
        super().__init__()
        for number in range(start, stop):
            self.add_module(str(number), layers[number])

    def __iter__(self) -> Iterator[nn.Module]:
        return self.children()

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]


class PartialBackbone(nn.Module):
    """From hidden state `start` (0: from token ids) to the hidden states `reads`.

    Args:
        found: where the whole backbone lies; only its config.json is read here.
        base: its weights. They are used where they lie, and none of them is trained.
        start: hidden state it is given.
        reads: hidden states it gives, all above `start`.
    Raises: MerError when the family's layers cannot be found, or `base` lacks a weight.
    """

    def __init__(self, found: BackboneFolder, base: BaseWeights, *, start: int, reads: Sequence[int]) -> None:
        super().__init__()
        self.start, self.reads, self.stop = start, list(reads), max(reads)
        self.model, self.layers_name, self.depth = _skeleton(found, start, self.stop)
        self.pad = int(getattr(self.model.config, "pad_token_id", None) or 0)  # masked out, so any valid id does
        self.width = int(self.model.config.hidden_size)
        self.model.requires_grad_(False)
        views = {name: read_only_view(base[name]) for name in self.model.state_dict() if name in base}
        self.model.load_state_dict(views, strict=False, assign=True)
        if absent := [name for name, weight in self.model.named_parameters() if weight.is_meta]:
            raise MerError(found.folder, f"{len(absent)} weights were not given, e.g. {absent[0]}")
        self._states: dict[int, Tensor] = {}
        for number, layer in self.numbered_layers():
            if number + 1 in self.reads:
                layer.register_forward_hook(self._keep(number + 1))

    def numbered_layers(self) -> list[tuple[int, nn.Module]]:
        """(i, layer that makes hidden state i + 1 of hidden state i)."""
        layers = self.model.get_submodule(self.layers_name)
        return [(int(number), layer) for number, layer in layers.named_children()]

    def forward(self, given: Tensor, real_BT: Tensor) -> list[Tensor]:
        """Hidden states (B, T, D), one for each of `reads`.

        Args: given: token ids (B, T), or hidden states (B, T, D). real_BT: 1 where there is a token, 0 at padding.
        """
        named = {"inputs_embeds": given} if self.start else {"input_ids": given}
        self._states = {}
        out = self.model(**named, attention_mask=real_BT)
        # Some families apply a last norm after the last layer: the model's own output is what 'last' means.
        states = self._states | ({self.depth: out.last_hidden_state} if self.stop == self.depth else {})
        self._states = {}
        return [states[read] for read in self.reads]

    def _keep(self, number: int) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            self._states[number] = output[0] if isinstance(output, tuple) else output

        return hook


def base_weights(found: BackboneFolder, start: int = 0) -> dict[str, np.ndarray]:
    """float32 weights by name, without those that only hidden states up to `start` need. Raises: MerError."""
    model = load_text_model(found, torch.float32)
    name, layers = _find_layers(found, model)
    below = (*(f"{name}.{number}." for number in range(min(start, len(layers)))), *(("embeddings.",) if start else ()))
    return {key: weight.numpy() for key, weight in model.state_dict().items() if not key.startswith(below)}


def read_only_view(array: np.ndarray) -> Tensor:
    """The array as a tensor, not copied. Nobody may write to it: it may be the memory of every worker."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _skeleton(found: BackboneFolder, start: int, stop: int) -> tuple[Any, str, int]:
    """The part without its weights, the name of its list of layers, and the number of layers of the whole."""
    from accelerate import init_empty_weights
    from transformers import AutoModel

    config = _config(found)
    allowed, no_weights = "a text encoder that transformers knows", init_empty_weights(include_buffers=False)
    with quiet(), refusing(found, allowed=allowed, offline="minilm"), no_weights:  # buffers are computed, not loaded
        model = AutoModel.from_config(config, **without_pooler(config))
    name, layers = _find_layers(found, model)
    if start:
        if not isinstance(getattr(model, "embeddings", None), nn.Module) or hasattr(model, "embeddings_project"):
            raise _unfit(found, config, "where its embeddings end is not known")
        model.embeddings = GivenStates()
    model.set_submodule(name, LayersBetween(layers, start, stop))
    return model, name, len(layers)


def _config(found: BackboneFolder) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(found.folder, local_files_only=True, trust_remote_code=False)


def _find_layers(found: BackboneFolder, model: Any) -> tuple[str, nn.ModuleList]:
    depth = model.config.num_hidden_layers
    lists = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
    if len(lists) != 1:
        raise _unfit(found, model.config, f"{len(lists)} lists of {depth} layers in it")
    return lists[0]


def _unfit(found: BackboneFolder, config: Any, why: str) -> MerError:
    return MerError(
        found.folder,
        f"model type {config.model_type!r} cannot be tuned: {why}",
        allowed="BERT, RoBERTa, MPNet, DeBERTa, ModernBERT and others with one list of layers above their embeddings",
        then="set encoders.text.mode: frozen, or choose another backbone",
    )
