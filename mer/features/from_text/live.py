"""Live input from texts that belong to no dataset: the backbone encodes them as extraction would."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mer.config import TextEncoderConfig
from mer.data import Dialogue, windows
from mer.features.backbone.files import BackboneFolder
from mer.features.cache.shards import TOKENS_PER_BATCH, plan_batches
from mer.features.from_text.pooled import encode_batches
from mer.features.from_text.sequences import TextStates
from mer.features.from_text.unpooled import TokenStates
from mer.features.reading import LiveFeatures
from mer.features.text.coverage import coverage_of
from mer.features.text.turn_tokenizer import TokenInput, TurnTokenizer
from mer.progress import Progress, reporting

if TYPE_CHECKING:
    from mer.features.text.pretrained import Encoder


class LiveTexts:
    """Encodes dialogues with a frozen backbone as `from_text.pooled` does. Loads the backbone at the first call.

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
        """Encode every utterance to pooled hidden states (L+1, D).

        Args: batch_tokens: most tokens that the backbone reads at once, padding included.
        Raises: MerError when a prompt leaves no room, or a hidden state is not finite.
        """
        encoder, tokenizer = self._load()
        inputs, cut_N, faults = _tokenized(dialogues, self.config, tokenizer)
        encoder.check(inputs)
        features = _encode(inputs, encoder, batch_tokens, progress, f"encoding with {self.found.name}")
        return LiveFeatures(features, cut_N, faults)

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
    """Makes the input of a tuned encoder from dialogues, as `from_text.sequences` caches it.

    Args:
        config: how the encoder reads.
        found: where its files lie.
    """

    def __init__(self, config: TextEncoderConfig, found: BackboneFolder) -> None:
        self.config, self.found = config, found
        self._loaded: tuple[TextStates, TurnTokenizer] | None = None

    @cached_property
    def base(self) -> dict[str, np.ndarray]:
        """Weights of the whole backbone: the lower layers run here, the upper ones in the model."""
        from mer.features.partial import base_weights

        return base_weights(self.config, self.found)

    def encode(
        self, dialogues: Sequence[Dialogue], *, batch_tokens: int = TOKENS_PER_BATCH, progress: Progress = False
    ) -> LiveFeatures:
        """Make the sequence of every utterance. Arguments and errors are those of `LiveTexts.encode`."""
        if self._loaded is None:
            from mer.features.text.pretrained import turn_tokenizer

            tokenizer = turn_tokenizer(self.found, self.config)
            self._loaded = (TextStates(self.found, self.config, self.base), tokenizer)
        return _sequences(*self._loaded, dialogues, self.config, batch_tokens, progress)


class LiveTokens:
    """Makes the states of single tokens from dialogues, as `from_text.unpooled` caches them.

    Args:
        config: how the encoder reads.
        found: where its files lie.
    """

    def __init__(self, config: TextEncoderConfig, found: BackboneFolder) -> None:
        self.config, self.found = config, found
        self._loaded: tuple[TokenStates, TurnTokenizer] | None = None

    def encode(
        self, dialogues: Sequence[Dialogue], *, batch_tokens: int = TOKENS_PER_BATCH, progress: Progress = False
    ) -> LiveFeatures:
        """Make the sequence of every utterance. Arguments and errors are those of `LiveTexts.encode`."""
        if self._loaded is None:
            from mer.features.text.pretrained import turn_tokenizer

            self._loaded = TokenStates(self.found, self.config), turn_tokenizer(self.found, self.config)
        return _sequences(*self._loaded, dialogues, self.config, batch_tokens, progress)


def _sequences(
    states: TextStates,
    tokenizer: TurnTokenizer,
    dialogues: Sequence[Dialogue],
    config: TextEncoderConfig,
    batch_tokens: int,
    progress: Progress,
) -> LiveFeatures:
    inputs, cut_N, faults = _tokenized(dialogues, config, tokenizer)
    with reporting(progress, f"encoding with {states.found.name}") as step:
        sequences = states.table(inputs, batch_tokens)
        step(len(inputs), len(inputs))
    return LiveFeatures(sequences, cut_N, faults)


def _tokenized(
    dialogues: Sequence[Dialogue], config: TextEncoderConfig, tokenizer: TurnTokenizer
) -> tuple[list[TokenInput], np.ndarray, list[str]]:
    """Tokenise every utterance in its context; return also where its own text lost tokens, and why it says nothing."""
    context = config.context
    rows = windows(dialogues, past=context.past, future=context.future, speaker=config.speaker)
    covered = coverage_of(dialogues, config, tokenizer)
    cut_N = np.array([text.cut for text in covered], dtype=bool)
    return [tokenizer.window(row) for row in rows], cut_N, [text.fault for text in covered]


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
