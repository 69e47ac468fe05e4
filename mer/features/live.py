"""Features of texts that belong to no dataset: the same windows, tokens, batches and rounding as the cached ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mer.config import TextEncoderConfig
from mer.data import Dialogue, Window, windows
from mer.features.backbones import BackboneFolder
from mer.features.extraction import TOKENS_PER_BATCH, encode_batches, plan_batches
from mer.features.progress import Progress, reporting
from mer.features.tokens import TokenInput, TurnTokenizer

if TYPE_CHECKING:
    from mer.features.encoder import Encoder


@dataclass(frozen=True, eq=False)
class LiveFeatures:
    """Row i belongs to the i-th utterance, dialogue after dialogue.

    Args:
        features_NLD: as a cache file holds them: float16 (float32 where a value exceeds float16).
        truncated_N: whether the utterance's own text lost tokens; lost context is not counted.
    """

    features_NLD: np.ndarray
    truncated_N: np.ndarray


class LiveEncoder:
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
        context = self.config.context
        rows = windows(dialogues, past=context.past, future=context.future, speaker=self.config.speaker)
        inputs = [tokenizer.window(row) for row in rows]
        encoder.check(inputs)
        features = _encode(inputs, encoder, batch_tokens, progress, f"encoding with {self.found.name}")
        cut = [self._is_cut(row, item) for row, item in zip(rows, inputs, strict=True)]
        return LiveFeatures(features, np.array(cut, dtype=bool))

    def _load(self) -> tuple[Encoder, TurnTokenizer]:
        if self._loaded is None:
            from mer.features.encoder import Encoder  # torch and transformers: seconds, so only when there is text

            encoder = Encoder(self.found, self.config.dtype)
            tokenizer = encoder.turn_tokenizer(
                max_tokens=self.config.context.max_tokens, prompt=self.config.prompt, pooler=self.config.pooler
            )
            self._loaded = (encoder, tokenizer)
        return self._loaded

    def _is_cut(self, window: Window, item: TokenInput) -> bool:
        encoder, tokenizer = self._load()
        if len(item.ids) < tokenizer.limit:
            return False
        endless = TurnTokenizer(
            encoder.tokenizer, limit=10**9, prompt=self.config.prompt, pooler=self.config.pooler, name=self.found.name
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
