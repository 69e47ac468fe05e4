"""How the backbones of each family are built without weights, entered at a hidden state, and run from there.

As much as can be is left as transformers wrote it: what precedes the layers is replaced by modules that hand over
given hidden states, and the list of layers by those that are wanted, under their own numbers. So weights keep the names
they have in the whole model. Here is what all share; `text_wiring`, `audio.wiring` and `video.wiring` have their own.

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
    """In the place of what precedes the layers: hands over the hidden states it is given."""

    def forward(self, *states: Tensor, inputs_embeds: Tensor | None = None, **_: Any) -> Tensor:
        return states[0] if inputs_embeds is None else inputs_embeds


class LayersBetween(nn.Module):
    """Some of a model's layers, under the numbers they have in the whole; iterated over as the whole list is."""

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
        return [(number, self.get_submodule(str(number))) for number in self.numbers]


class Wiring:
    """One backbone, as one configuration reads it. Only its config.json is read, but for `load`.

    Attributes:
        depth, width: layers, and numbers per hidden state.
        equal_lengths: rows of unlike length may not share a batch of raw input, since padding changes the result.
        below: names of the modules that come before the layers, each with a '.' behind it.
        above: names of norms behind them, which a family may have.
    """

    depth: int
    width: int
    equal_lengths = False
    below: tuple[str, ...] = ("embeddings.",)
    above: tuple[str, ...] = ()

    def __init__(self, encoder: EncoderConfig, found: BackboneFolder) -> None:
        self.encoder, self.found = encoder, found

    def skeleton(self) -> nn.Module:
        """The whole without weights. Raises: MerError when transformers cannot build it."""
        raise NotImplementedError

    def load(self) -> nn.Module:
        """The whole with its weights, in float32. Raises: MerError when the folder cannot be loaded whole."""
        raise NotImplementedError

    def layers_name(self, model: nn.Module) -> str:
        """Where its list of layers is."""
        raise NotImplementedError

    def run(self, model: Any, given: Tensor, real_BT: Tensor, start: int | None) -> Tensor:
        """The model's last hidden state; what the layers give is read off them by whoever wants it."""
        raise NotImplementedError

    def states(self, raw: int) -> int:
        """Hidden states of a row that has so many units of raw input."""
        return raw

    def units(self, raw: int, start: int | None) -> int:
        """Units of such a row at hidden state `start` (None: of raw input)."""
        return raw if start is None else self.states(raw)

    def cost(self, units: int, start: int | None) -> int:
        """Hidden states of a row that is given so many units at hidden state `start`."""
        return self.states(units) if start is None else units

    def unit_shape(self, start: int | None) -> tuple[int, ...]:
        """Of one unit at hidden state `start` (None: of raw input)."""
        return () if start is None else (self.width,)

    def needed_above(self, start: int) -> tuple[str, ...]:
        """Prefixes of weights that lie below hidden state `start` and are read above it all the same."""
        del start
        return ()

    def enter(self, model: nn.Module, layers: LayersBetween, start: int) -> None:
        """Make the model take hidden state `start`."""
        for name in self.below:
            model.set_submodule(name.removesuffix("."), Given())

    def leave(self, model: nn.Module) -> None:
        """Without what comes after the layers: where the last hidden state is not read, it would never learn."""
        there = dict(model.named_modules())
        for name in self.above:
            if name in there:
                model.set_submodule(name, nn.Identity())

    def unfold(self, state: Tensor, rows: int) -> Tensor:
        """What a layer gives, as whoever goes on from there is given it: one entry per row."""
        del rows
        return state

    def reduce(self, state: Tensor) -> Tensor:
        """What is pooled of an unfolded state: (B, T, D)."""
        return state


class ClipWiring(Wiring):
    """What there is to know of clips besides.

    Attributes:
        length_key: of the encoder, the setting that makes a row long; "" where all are equally long.
    """

    length_key = ""

    def raw_units(self, length: int) -> int:
        """Units of raw input of a clip. Args: length: as its encoder's `probe` says it."""
        raise NotImplementedError

    def span(self, raw: int, frames: int | None) -> tuple[int, int]:
        """Which of the (reduced) hidden states of a clip the pooler averages.

        Args: raw: units of raw input. frames: hidden states that hear the clip, where not all do.
        """
        raise NotImplementedError


def no_weights() -> ExitStack:
    """Inside, models are built quickly and quietly: parameters have a shape only; buffers are computed, not loaded."""
    from accelerate import init_empty_weights

    stack = ExitStack()
    stack.enter_context(quiet())
    stack.enter_context(init_empty_weights(include_buffers=False))
    return stack
