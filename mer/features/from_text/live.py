"""Encode single texts with the backbone itself, as extraction would."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mer.config import TextEncoderConfig
from mer.data import Dialogue, Window, windows
from mer.features.backbone.files import BackboneFolder
from mer.features.cache.shards import TOKENS_PER_BATCH, plan_batches
from mer.features.from_text.pooled import encode_batches
from mer.features.from_text.sequences import TextStates, turn_tokenizer
from mer.features.reading import LiveFeatures
from mer.features.text.turn_tokenizer import TokenInput, TurnTokenizer
from mer.progress import Progress, reporting

if TYPE_CHECKING:
    from mer.features.text.pretrained import Encoder


class LiveTexts:
    """A backbone that reads dialogues as `mer.features.ensure` would. Loads it at the first call.

    Args:
        config: how the encoder reads.
        found: where its files lie.
    """

    def __init__(self, config: TextEncoderConfig, found: BackboneFolder) -> None:
        self.config, self.found = config, found
        self._loaded: tuple[Encoder, TurnTokenizer] | None = None

    def encode(
        self, dialogues: Sequence[Dialogue], *, batch_tokens: int = TOKENS_PER_BATCH, progress: Progress = False
    ) -> LiveFeatures:
        """Pooled hidden states (N, L+1, D) of every utterance.

        Args: batch_tokens: most tokens the backbone reads at once, padding included.
        Raises: MerError when a prompt leaves no room, or a hidden state is not finite.
        """
        encoder, tokenizer = self._load()
        inputs, cut_N = _tokenized(dialogues, self.config, tokenizer)
        encoder.check(inputs)
        features = _encode(inputs, encoder, batch_tokens, progress, f"encoding with {self.found.name}")
        return LiveFeatures(features, cut_N)

    def _load(self) -> tuple[Encoder, TurnTokenizer]:
        if self._loaded is None:
            from mer.features.text.pretrained import (
                Encoder,  # torch and transformers: seconds, so only when there is text
            )

            encoder = Encoder(self.found, self.config.dtype)
            tokenizer = encoder.turn_tokenizer(
                max_tokens=self.config.context.max_tokens, prompt=self.config.prompt, pooler=self.config.pooler
            )
            self._loaded = (encoder, tokenizer)
        return self._loaded


class LiveTextSequences:
    """Read dialogues that belong to no dataset as a tuned encoder reads them: as `from_text.sequences` caches it.

    Args:
        config: how the encoder reads.
        found: where its files lie.
    """

    def __init__(self, config: TextEncoderConfig, found: BackboneFolder) -> None:
        self.config, self.found = config, found
        self._loaded: tuple[TextStates, TurnTokenizer] | None = None

    @cached_property
    def base(self) -> dict[str, np.ndarray]:
        """Weights of the whole backbone: the lower layers are read here, the model reads those above."""
        from mer.features.partial import base_weights

        return base_weights(self.config, self.found)

    def encode(
        self, dialogues: Sequence[Dialogue], *, batch_tokens: int = TOKENS_PER_BATCH, progress: Progress = False
    ) -> LiveFeatures:
        """Tokens of every utterance, in the place of features. Arguments and errors as of `LiveTexts.encode`."""
        if self._loaded is None:
            tokenizer = turn_tokenizer(self.found, self.config)
            self._loaded = (TextStates(self.found, self.config, self.base), tokenizer)
        states, tokenizer = self._loaded
        inputs, cut_N = _tokenized(dialogues, self.config, tokenizer)
        with reporting(progress, f"encoding with {self.found.name}") as step:
            tokens = states.table(inputs, batch_tokens)
            step(len(inputs), len(inputs))
        return LiveFeatures(tokens, cut_N)


def _tokenized(
    dialogues: Sequence[Dialogue], config: TextEncoderConfig, tokenizer: TurnTokenizer
) -> tuple[list[TokenInput], np.ndarray]:
    """What the backbone reads of every utterance, and whether its own text lost tokens (N,)."""
    context = config.context
    rows = windows(dialogues, past=context.past, future=context.future, speaker=config.speaker)
    inputs = [tokenizer.window(row) for row in rows]
    cut = [_is_cut(tokenizer, row, item) for row, item in zip(rows, inputs, strict=True)]
    return inputs, np.array(cut, dtype=bool)


def _is_cut(tokenizer: TurnTokenizer, window: Window, item: TokenInput) -> bool:
    """Whether the utterance's own text lost tokens."""
    if len(item.ids) < tokenizer.limit:
        return False
    endless = TurnTokenizer(
        tokenizer.tokenizer, limit=10**9, prompt=tokenizer.prompt, pooler=tokenizer.pooler, name=tokenizer.name
    )
    alone = Window(window.id, (window.turns[window.target],), 0, window.speaker)
    return len(endless.window(alone).ids) > tokenizer.limit


def _encode(
    inputs: Sequence[TokenInput], encoder: Encoder, batch_tokens: int, progress: Progress, title: str
) -> np.ndarray:
    distinct = list(dict.fromkeys(inputs))
    batches = plan_batches([len(item.ids) for item in distinct], batch_tokens)
    pieces: list[np.ndarray] = []
    with reporting(progress, title) as step:
        step(0, len(distinct))
        for piece in encode_batches(batches, distinct, encoder.encode):
            pieces.append(piece)
            step(sum(map(len, pieces)), len(distinct))
    block = np.concatenate(pieces)
    place = {distinct[position]: row for row, position in enumerate(i for batch in batches for i in batch)}
    return block[[place[item] for item in inputs]]
