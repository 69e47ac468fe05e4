"""A part of a pretrained encoder: the layers between two of its hidden states.

The differences between families of encoders are in their `wiring` modules.

Shapes: B inputs, T units of input (tokens, samples, mel frames, pictures) or hidden states, L transformer layers (L+1
hidden states; 0 is what the first layer reads), D width.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mer.config import EncoderConfig
from mer.errors import MerError
from mer.features.backbone.files import BackboneFolder
from mer.features.backbone.wiring import LayersBetween
from mer.features.modalities import wiring_of

_COMPOSITION = 1e-3  # most that lower and upper part together may differ from the whole, relative to its largest value


BaseWeights = Mapping[str, np.ndarray]  # by their names in the whole model; may lie in shared memory: read only


class PartialBackbone(nn.Module):
    """The layers from hidden state `start` (None: from raw input) up to the hidden states `reads`.

    Args:
        encoder: how the backbone is used; its frames, pooler and arithmetic matter here.
        found: the folder of the whole backbone; only its config.json is read.
        base: its weights. They are used where they lie, without a copy, and none of them is trained.
        start: the hidden state that `forward` is given.
        reads: the hidden states that `forward` returns, all above `start`; 0 is above None.
    Raises: MerError when the family's layers cannot be found, or `base` lacks a weight.

    Attributes:
        layers_name: name of the list of layers inside `model`.
        below: prefixes of the names of weights that come before the layers.
        depth, width: layers of the whole backbone, and numbers per hidden state.
        pad: token id for padding.
        stop: the last hidden state whose layer is in this part.
        equal_lengths: only rows of equal length may share a batch, since padding would change the result.
    """

    def __init__(
        self, encoder: EncoderConfig, found: BackboneFolder, base: BaseWeights, *, start: int | None,
        reads: Sequence[int],
    ) -> None:  # fmt: skip
        super().__init__()
        wiring = self._wiring = wiring_of(encoder, found)
        self.start, self.reads, self.stop = start, list(reads), max(1, *reads)
        self.depth, self.width, self.below = wiring.depth, wiring.width, wiring.below
        self.equal_lengths = start is None and wiring.equal_lengths
        self.model: Any = wiring.skeleton()
        self.layers_name = wiring.layers_name(self.model)
        whole: Any = self.model.get_submodule(self.layers_name)
        layers = LayersBetween(whole, start or 0, self.stop)
        if start is not None:
            wiring.enter(self.model, layers, start)
        self.model.set_submodule(self.layers_name, layers)
        if self.stop < self.depth:
            wiring.leave(self.model)
        self.pad = int(getattr(self.model.config, "pad_token_id", None) or 0)  # masked out, so any valid id does
        self.model.requires_grad_(False)
        self._take(found, base)
        self._states: dict[int, dict[int, Tensor]] = {}  # one dict per thread: threads may read clips side by side
        for number, layer in self.numbered_layers():
            if number + 1 in self.reads:
                layer.register_forward_hook(self._keep_output(number + 1))
        if 0 in self.reads:
            layers[0].register_forward_pre_hook(self._keep_input)

    def _take(self, found: BackboneFolder, base: BaseWeights) -> None:
        written = {name for name, _ in self.model.named_buffers()}  # torch writes to them, in batch norm for example
        views = {name: read_only_view(base[name]) for name in self.model.state_dict() if name in base}
        own = {name: view.clone() if name in written else view for name, view in views.items()}
        self.model.load_state_dict(own, strict=False, assign=True)
        if absent := [name for name, weight in self.model.named_parameters() if weight.is_meta]:
            raise MerError(found.folder, f"{len(absent)} weights were not given, e.g. {absent[0]}")

    def numbered_layers(self) -> list[tuple[int, nn.Module]]:
        """Each layer with its number i; layer i turns hidden state i into hidden state i + 1."""
        layers = self.model.get_submodule(self.layers_name)
        assert isinstance(layers, LayersBetween)
        return layers.numbered()

    @property
    def unit_shape(self) -> tuple[int, ...]:
        """The shape of one unit of the input; () for a single number."""
        return self._wiring.unit_shape(self.start)

    def cost(self, length: int) -> int:
        """Estimate the number of hidden states of a row. Args: length: units of its input."""
        return self._wiring.cost(length, self.start)

    def forward(self, given: Tensor, real_BT: Tensor) -> list[Tensor]:
        """Run the layers.

        Args:
            given: token ids (B, T), samples (B, S), log-mels (B, 3000, M), pixels (B, F, 3, H, W), or hidden states:
                (B, T, D), for an image encoder (B, F, N, D).
            real_BT: 1 where there is a unit, 0 at padding.
        Returns: hidden states (B, T', D), one for each of `reads`; of an image encoder those that its pooler averages.
        """
        return [self._wiring.reduce(state) for state in self.unreduced(given, real_BT)]

    def unreduced(self, given: Tensor, real_BT: Tensor) -> list[Tensor]:
        """`forward`, with hidden states in the input format of a part that starts from them."""
        me = threading.get_ident()
        self._states[me] = {}
        try:
            last = self._wiring.run(self.model, given, real_BT, self.start)
        finally:
            states = self._states.pop(me)
        # Some families apply a norm after the last layer: 'last' means the model's own output.
        states |= {self.depth: last} if self.stop == self.depth else {}
        return [self._wiring.unfold(states[read], len(given)) for read in self.reads]

    def _keep(self, number: int, state: Tensor) -> None:
        if (states := self._states.get(threading.get_ident())) is not None:  # None while a backward pass recomputes
            states[number] = state

    def _keep_output(self, number: int) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            self._keep(number, output[0] if isinstance(output, tuple) else output)

        return hook

    def _keep_input(self, _: nn.Module, args: tuple[Tensor, ...]) -> None:
        self._keep(0, args[0])


def base_weights(encoder: EncoderConfig, found: BackboneFolder, start: int | None = None) -> dict[str, np.ndarray]:
    """Load the weights of a backbone in float32, by name.

    Args: start: leave out the weights that only hidden states up to this one need; None: load all.
    Raises: MerError when the folder cannot be loaded whole.
    """
    wiring = wiring_of(encoder, found)
    model = wiring.load()
    name = wiring.layers_name(model)
    below = () if start is None else (*wiring.below, *(f"{name}.{n}." for n in range(min(start, wiring.depth))))
    kept = () if start is None else wiring.needed_above(start)
    return {
        key: weight.numpy()
        for key, weight in model.state_dict().items()
        if not key.startswith(below) or key.startswith(kept)
    }


def read_only_view(array: np.ndarray) -> Tensor:
    """Wrap the array in a tensor without a copy. It must not be written to: all workers may share its memory."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def lower_part(
    encoder: EncoderConfig, found: BackboneFolder, base: BaseWeights | None, start: int, example: Tensor
) -> PartialBackbone:
    """Build the part from raw input to hidden state `start`, in eval mode.

    Args:
        base: weights of the whole backbone; None: they are read from the folder.
        example: raw input of one row. For it, this part followed by the upper part is compared with the whole.
    Raises: MerError when the two results differ.
    """
    base = base_weights(encoder, found) if base is None else base
    lower = PartialBackbone(encoder, found, base, start=None, reads=[start]).eval()
    upper = PartialBackbone(encoder, found, base, start=start, reads=[lower.depth]).eval()
    whole = PartialBackbone(encoder, found, base, start=None, reads=[lower.depth]).eval()
    with torch.inference_mode():
        (wanted,) = whole(example, torch.ones(example.shape[:2], dtype=torch.long))
        (states,) = lower.unreduced(example, torch.ones(example.shape[:2], dtype=torch.long))
        (reached,) = upper(states, torch.ones(states.shape[:2], dtype=torch.long))
    if not (wanted - reached).abs().max() <= _COMPOSITION * wanted.abs().max():
        raise MerError(
            found.folder,
            f"its layers above {start} do not continue what those below give",
            then=f"set encoders.{encoder.modality}.split_cache: false, and freeze_layers: 0 if that is refused too",
        )
    return lower
