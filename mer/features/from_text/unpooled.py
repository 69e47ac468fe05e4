"""Hidden states of single tokens of a frozen text encoder, cached for models that pool by themselves (pooler none).

Kept are the tokens of the utterance itself, of one hidden state; tokens of its context are read, and not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mer.config import DataConfig, TextEncoderConfig
from mer.data import Corpus
from mer.features.backbone.files import BackboneFolder
from mer.features.backbone.layers import select_layers
from mer.features.cache.feature_file import place_of
from mer.features.cache.key import ingredients_of_sequences
from mer.features.cache.sequences import bytes_of, condensed
from mer.features.from_text.pooled import TextReading
from mer.features.from_text.sequences import TextStates
from mer.features.modalities import describe_backbone
from mer.features.reading import Extracted, PreparedSplit
from mer.features.text.turn_tokenizer import TokenInput
from mer.progress import Step

if TYPE_CHECKING:
    from mer.features.text.pretrained import Encoder


class TokenReading(TextReading):
    """Reads texts token by token; a `mer.features.reading.Reading`.

    Raises: MerError when the backbone is not to be had, or has no such hidden state.
    """

    def __init__(self, config: TextEncoderConfig, cache: Path) -> None:
        super().__init__(config, cache)
        self.card = describe_backbone(config)
        (self.hidden_state,) = select_layers(config.layers, self.card.layers)
        self._states: TokenStates | None = None

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> PreparedSplit:
        usual = super().prepare(corpus, data, split, cache)
        ingredients = ingredients_of_sequences(
            usual.ingredients,
            hidden_state=self.hidden_state,
            hidden_states=self.card.layers,
            width=self.card.width,
            most=self.config.max_states,
        )
        return replace(usual, ingredients=ingredients, path=place_of(ingredients, cache=cache, slug=self.slug))

    def bytes_for(self, prepared: PreparedSplit) -> int:
        """Compute the size of the file: tokenises everything, encodes nothing."""
        inputs = self._inputs(prepared)
        return bytes_of(sum(kept(item, self.config) for item in inputs), len(inputs), self.card.width)

    def extract(self, prepared: PreparedSplit, *, parts: Path, step: Step) -> Extracted:
        inputs = self._inputs(prepared)
        states = self._states = self._states or TokenStates(self.found, self.config)
        sequences, encoded = states.extract(inputs, parts=parts, key=prepared.key, step=step)
        self.device = states.device
        pooled = np.empty((len(inputs), 0, self.card.width), dtype=np.float16)  # the trial's model pools
        return Extracted(pooled, encoded, present_N=np.ones(len(inputs), dtype=bool), sequences=sequences)

    def _inputs(self, prepared: PreparedSplit) -> list[TokenInput]:
        from mer.features.text.pretrained import turn_tokenizer

        tokenizer = turn_tokenizer(self.found, self.config)
        return [tokenizer.window(window) for window in prepared.rows]


def kept(item: TokenInput, config: TextEncoderConfig) -> int:
    """Count the states that are kept of an input."""
    return min(item.end - item.start, config.max_states)


class TokenStates(TextStates):
    """Runs a frozen text encoder, on the GPU if there is one, and keeps a hidden state of the utterance's tokens."""

    def __init__(self, found: BackboneFolder, config: TextEncoderConfig) -> None:
        super().__init__(found, config)
        (self.start,) = select_layers(config.layers, describe_backbone(config).layers)
        self._encoder: Encoder | None = None

    def units(self, item: TokenInput) -> int:
        return kept(item, self.config)

    def span(self, item: TokenInput) -> tuple[int, int]:
        return 0, self.units(item)

    def _encode(self, batch: Sequence[TokenInput]) -> np.ndarray:
        from mer.features.cache.shards import as_stored
        from mer.features.text.pretrained import Encoder

        assert self.start is not None
        encoder = self._encoder = self._encoder or Encoder(self.found, self.config.dtype)
        self.device = str(encoder.device)
        encoder.check(batch)
        rows = [condensed(row, self.config.max_states) for row in encoder.spans(batch, self.start)]
        return as_stored(np.concatenate(rows)[:, None], f"hidden state {self.start}")[:, 0]
