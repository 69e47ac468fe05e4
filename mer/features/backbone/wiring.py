"""Build a backbone without weights, enter it at a hidden state, and run it from there.

The model stays as transformers wrote it, with two replacements: the modules before the layers become stubs that return
the hidden states they are given, and the list of layers becomes a part of it, under the layers' own numbers. Weights
therefore keep the names that they have in the whole model. This file holds the common part; the families' own parts are
in `text.wiring`, `audio.wiring` and `video.wiring`.

Shapes: B inputs, T units of input or hidden states, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from mer.config import EncoderConfig
from mer.features.backbone.files import BackboneFolder
from mer.features.backbone.loading import quiet


class Given(nn.Module):
    """Stub in place of the embeddings; returns its input, hidden states (B, T, D)."""

    def forward(self, *states: Tensor, inputs_embeds: Tensor | None = None, **_: Any) -> Tensor:
        return states[0] if inputs_embeds is None else inputs_embeds


class LayersBetween(nn.Module):
    """Some of a model's layers under their own numbers; transformers iterates over them as over the whole list."""

    def __init__(self, layers: nn.ModuleList, start: int, stop: int) -> None:
        super().__init__()
        self.numbers = range(start, stop)
        for number in self.numbers:
            self.add_module(str(number), layers[number])

    def __iter__(self) -> Iterator[nn.Module]:
        return (layer for _, layer in self.numbered())

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]

    def numbered(self) -> list[tuple[int, nn.Module]]:
        """Each layer with its number in the whole model."""
        return [(number, self.get_submodule(str(number))) for number in self.numbers]


class Wiring:
    """One backbone as one configuration uses it. Only `load` reads its weights, the rest reads config.json.

    A unit is one step along a row: a token id, a sample, a mel frame or a picture of the raw input, or a hidden state.

    Attributes:
        depth: number of transformer layers.
        width: numbers per hidden state.
        equal_lengths: only rows of equal length may share a batch of raw input, since padding changes the result.
        below: names of the modules before the layers, each with a '.' at its end.
        above: names of the norms after the layers; a family may have none.
    """

    depth: int
    width: int
    equal_lengths = False
    below: tuple[str, ...] = ("embeddings.",)
    above: tuple[str, ...] = ()

    def __init__(self, encoder: EncoderConfig, found: BackboneFolder) -> None:
        self.encoder, self.found = encoder, found

    def skeleton(self) -> nn.Module:
        """Build the whole model without weights. Raises: MerError when transformers cannot build it."""
        raise NotImplementedError

    def load(self) -> nn.Module:
        """Load the whole model in float32. Raises: MerError when the folder cannot be loaded whole."""
        raise NotImplementedError

    def layers_name(self, model: nn.Module) -> str:
        """The name of the submodule that is the list of layers."""
        raise NotImplementedError

    def run(self, model: Any, given: Tensor, real_BT: Tensor, start: int | None) -> Tensor:
        """Run the model and return its last hidden state; callers read the others with hooks on the layers.

        Args:
            given: a batch of raw input, or of hidden states `start`.
            real_BT: 1 where there is a unit, 0 at padding.
        """
        raise NotImplementedError

    def states(self, raw: int) -> int:
        """Count the hidden states of a row. Args: raw: its units of raw input."""
        return raw

    def units(self, raw: int, start: int | None) -> int:
        """Count the units of a row at hidden state `start` (None: of raw input). Args: raw: its units of raw input."""
        return raw if start is None else self.states(raw)

    def cost(self, units: int, start: int | None) -> int:
        """Count the hidden states of a row. Args: units: its units at hidden state `start` (None: of raw input)."""
        return self.states(units) if start is None else units

    def unit_shape(self, start: int | None) -> tuple[int, ...]:
        """The shape of one unit at hidden state `start` (None: of raw input); () for a single number."""
        return () if start is None else (self.width,)

    def needed_above(self, start: int) -> tuple[str, ...]:
        """Prefixes of weights of frozen layers that the layers above `start` still need (WavLM's position bias)."""
        del start
        return ()

    def enter(self, model: nn.Module, layers: LayersBetween, start: int) -> None:
        """Make the model take hidden state `start` as its input."""
        for name in self.below:
            model.set_submodule(name.removesuffix("."), Given())

    def leave(self, model: nn.Module) -> None:
        """Remove the final norm when the head does not read the last layer: it would get no gradient."""
        there = dict(model.named_modules())
        for name in self.above:
            if name in there:
                model.set_submodule(name, nn.Identity())

    def unfold(self, state: Tensor, rows: int) -> Tensor:
        """Reshape a layer's output to the input format of the upper part, one entry per row."""
        del rows
        return state

    def reduce(self, state: Tensor) -> Tensor:
        """Choose the hidden states (B, T, D) of an unfolded state that the pooler averages over."""
        return state


class ClipWiring(Wiring):
    """The wiring of a backbone that reads clips.

    Attributes:
        length_key: the encoder's setting that makes a row long; "" when all rows are equally long.
    """

    length_key = ""

    def raw_units(self, length: int) -> int:
        """Count a clip's units of raw input. Args: length: the clip's length units, from its encoder's `probe`."""
        raise NotImplementedError

    def span(self, raw: int, frames: int | None) -> tuple[int, int]:
        """The range [start, end) of a clip's (reduced) hidden states that the pooler averages.

        Args:
            raw: units of raw input.
            frames: the hidden states that hear the clip and not the silence after it; None: all of them.
        """
        raise NotImplementedError


def no_weights() -> ExitStack:
    """Build models quickly and quietly inside: parameters get a shape and no memory, buffers are computed."""
    from accelerate import init_empty_weights

    stack = ExitStack()
    stack.enter_context(quiet())
    stack.enter_context(init_empty_weights(include_buffers=False))
    return stack
