"""Features of texts and clips that belong to no dataset: read, batched and rounded as the cached ones are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mer.config import ClipEncoderConfig, TextEncoderConfig
from mer.data import Dialogue, Window, windows
from mer.data.media import MediaFault
from mer.features.backbone.clip_encoder import ClipEncoder
from mer.features.backbone.files import BackboneFolder, modality_of
from mer.features.cache.shards import TOKENS_PER_BATCH, encode_batches, plan_batches
from mer.features.from_text.sequences import TokenStates, turn_tokenizer
from mer.features.reading import ClipRow, Extracted
from mer.features.text.turn_tokenizer import TokenInput, TurnTokenizer
from mer.progress import Progress, reporting

if TYPE_CHECKING:
    from mer.features.from_clips.states import ClipStates
    from mer.features.text.pretrained import Encoder


@dataclass(frozen=True, eq=False)
class LiveFeatures:
    """Row i belongs to the i-th utterance, dialogue after dialogue.

    Args:
        features_NLD: as a cache file holds them: float16 (float32 where a value exceeds float16); of an encoder that
            is tuned, its tokens.
        truncated_N: whether the utterance's own text lost tokens; lost context is not counted.
        present_N: whether the row is there; None: all are.
        faults: why a clip is masked, by its path as it was given.
        notes: what had to be mended to read a clip, by its path.
    """

    features_NLD: Any
    truncated_N: np.ndarray
    present_N: np.ndarray | None = None
    faults: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


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


class LiveTokens:
    """What a tuned encoder reads, of dialogues that belong to no dataset: as `mer.features.from_text.sequences` caches it.

    Args:
        config: how the encoder reads.
        found: where its files lie.
    """

    def __init__(self, config: TextEncoderConfig, found: BackboneFolder) -> None:
        self.config, self.found = config, found
        self._loaded: tuple[TokenStates, TurnTokenizer] | None = None

    @cached_property
    def base(self) -> dict[str, np.ndarray]:
        """Weights of the whole backbone: the lower layers are read here, the model reads those above."""
        from mer.features.partial import base_weights

        return base_weights(self.config, self.found)

    def encode(
        self, dialogues: Sequence[Dialogue], *, batch_tokens: int = TOKENS_PER_BATCH, progress: Progress = False
    ) -> LiveFeatures:
        """Tokens of every utterance, in the place of features. Arguments and errors as of `LiveEncoder.encode`."""
        if self._loaded is None:
            tokenizer = turn_tokenizer(self.found, self.config)
            self._loaded = (TokenStates(self.found, self.config, self.base), tokenizer)
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


class LiveClips:
    """A backbone that reads media files as `mer.features.ensure` would. Loads it at the first call.

    Args:
        config: how the encoder reads.
        found: where its files lie; None for signal statistics.
    """

    def __init__(self, config: ClipEncoderConfig, found: BackboneFolder | None) -> None:
        self.config, self.found = config, found
        self.modality = modality_of(config)
        self._encoder: ClipEncoder | None = None

    def encode(self, paths: Sequence[Path | MediaFault], *, progress: Progress = False) -> LiveFeatures:
        """Pooled hidden states (N, L, D) of every clip; one that cannot be read, or is a fault already, is masked."""
        from mer.features.from_clips.extraction import read_clips
        from mer.features.from_clips.pooled import open_clip_encoder

        encoder = self._encoder = self._encoder or open_clip_encoder(self.config, self.found)
        with reporting(progress, f"reading {self.modality}", "clips") as step:
            done = read_clips(_clip_rows(paths), encoder, step)
        return _told(paths, done, done.features_NLD)


class LiveClipTokens:
    """What a tuned encoder reads of media files that belong to no dataset: as `mer.features.from_clips.sequences` caches
    it.

    Args:
        config: how the encoder reads.
        found: where its files lie.
    """

    def __init__(self, config: ClipEncoderConfig, found: BackboneFolder) -> None:
        self.config, self.found = config, found
        self.modality = modality_of(config)
        self._states: ClipStates | None = None

    @cached_property
    def base(self) -> dict[str, np.ndarray]:
        """Weights of the whole backbone: the lower layers are read here, the model reads those above."""
        from mer.features.partial import base_weights

        return base_weights(self.config, self.found)

    def encode(self, paths: Sequence[Path | MediaFault], *, progress: Progress = False) -> LiveFeatures:
        """Tokens of every clip, in the place of features; the row of one that cannot be read is empty."""
        from mer.features.from_clips.sequence_extraction import read_tokens
        from mer.features.from_clips.states import ClipStates

        base = self.base if self.config.first_tuned is not None else None
        states = self._states = self._states or ClipStates(self.config, self.found, base)
        with reporting(progress, f"reading {self.modality}", "clips") as step:
            done = read_tokens(_clip_rows(paths), states, states.wiring.width, step)
        return _told(paths, done, done.tokens)


def _clip_rows(paths: Sequence[Path | MediaFault]) -> list[ClipRow]:
    return [
        ClipRow(f"{place}", None, None, str(path)) if isinstance(path, MediaFault) else ClipRow(f"{place}", path, "")
        for place, path in enumerate(paths)
    ]


def _told(paths: Sequence[Path | MediaFault], done: Extracted, features: Any) -> LiveFeatures:
    """What was read, with faults and notes by path."""
    from mer.features.from_clips.extraction import VANISHED

    faults = {place: "no such file" if said == VANISHED else said for place, said in done.faults.items()}
    by_path = [{str(paths[int(place)]): said for place, said in told.items()} for told in (faults, done.notes)]
    cut = ["cut to its first" in done.notes.get(f"{place}", "") for place in range(len(paths))]
    return LiveFeatures(features, np.array(cut, dtype=bool), done.present_N, *by_path)


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
