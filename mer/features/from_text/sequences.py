"""Texts for a tuned encoder: token ids, or hidden states after its frozen first layers, cached once for all trials.

The frozen layers run in eval mode, once for each distinct text. The hidden states of all tokens are stored, since the
layers above attend to every one of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mer.config import DataConfig, TextEncoderConfig
from mer.data import Corpus
from mer.features.backbone.arithmetic import half_precision
from mer.features.backbone.files import BackboneFolder
from mer.features.backbone.layers import check_depth
from mer.features.cache.feature_file import place_of
from mer.features.cache.key import ingredients_of_sequences
from mer.features.cache.sequences import Sequences, bytes_of
from mer.features.from_text.pooled import TextReading
from mer.features.modalities import describe_backbone
from mer.features.reading import Extracted, PreparedSplit
from mer.features.text.turn_tokenizer import TokenInput
from mer.progress import Step

if TYPE_CHECKING:
    from mer.features.partial import BaseWeights

_CHECKED_TEXTS = 8


class TextSequenceReading(TextReading):
    """Reads texts for a tuned encoder; a `mer.features.reading.Reading`.

    Raises: MerError when the backbone is not to be had, or has too few layers.
    """

    def __init__(self, config: TextEncoderConfig, cache: Path, *, asks_earlier: bool = False) -> None:
        super().__init__(config, cache, asks_earlier=asks_earlier)
        check_depth(config, describe_backbone(config).layers - 1)
        self.start = config.first_tuned
        self._states: TextStates | None = None

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> PreparedSplit:
        usual = super().prepare(corpus, data, split, cache)
        card = describe_backbone(self.config)
        ingredients = ingredients_of_sequences(
            usual.ingredients,
            hidden_state=self.start or 0,
            hidden_states=card.layers,
            width=card.width,
            raw_dtype="int32" if self.start is None else None,
        )
        return replace(usual, ingredients=ingredients, path=place_of(ingredients, cache=cache, slug=self.slug))

    def bytes_for(self, prepared: PreparedSplit) -> int:
        """Compute the size of the file: tokenises everything, encodes nothing."""
        inputs = self._inputs(prepared)
        width = describe_backbone(self.config).width if self.start else 0
        return bytes_of(sum(len(item.ids) for item in inputs), len(inputs), width)

    def extract(self, prepared: PreparedSplit, *, parts: Path, step: Step) -> Extracted:
        inputs = self._inputs(prepared)
        states = self._states = self._states or TextStates(self.found, self.config)
        self.device = states.device
        tokens, encoded = states.extract(inputs, parts=parts, key=prepared.key, step=step)
        card = describe_backbone(self.config)
        pooled = np.empty((len(inputs), 0, card.width), dtype=np.float16)  # pooled where the encoder is tuned
        return Extracted(pooled, encoded, present_N=np.ones(len(inputs), dtype=bool), sequences=tokens)

    def _inputs(self, prepared: PreparedSplit) -> list[TokenInput]:
        from mer.features.text.pretrained import turn_tokenizer

        tokenizer = turn_tokenizer(self.found, self.config)
        return [tokenizer.window(window) for window in prepared.rows]


class TextStates:
    """Runs the frozen first layers of a tuned text encoder, on the GPU if there is one.

    Args: base: the backbone's weights; None: they are read from its folder when first needed.
    """

    def __init__(self, found: BackboneFolder, config: TextEncoderConfig, base: BaseWeights | None = None) -> None:
        import torch

        self.found, self.config, self.start = found, config, config.first_tuned
        self.device = "cuda" if self.start and torch.cuda.is_available() else "cpu"
        self._base, self._lower = base, None

    def extract(self, inputs: Sequence[TokenInput], *, parts: Path, key: str, step: Step) -> tuple[Sequences, int]:
        """Encode all inputs, and take over the whole shards in `parts`.

        Returns: one row per input, and the number of texts that were encoded just now.
        Raises: MerError when a hidden state is not finite, or the family's layers do not compose.
        """
        from mer.features.cache.shards import SHARD_ROWS, TOKENS_PER_BATCH, plan_batches, plan_shards, shard_of

        if self.start is None:
            step(len(inputs), len(inputs))
            return self.table(inputs), len(inputs)
        distinct = list(dict.fromkeys(inputs))
        batches = plan_batches([len(item.ids) for item in distinct], TOKENS_PER_BATCH)
        blocks: list[np.ndarray] = []
        done = encoded = 0
        for number, shard in enumerate(plan_shards(batches, SHARD_ROWS)):
            some = [distinct[i] for i in itertools.chain.from_iterable(shard)]
            count = sum(self.units(item) for item in some)
            block, is_new = shard_of(
                parts / f"{number:05d}.safetensors",
                [key, batches],
                count,
                lambda: np.concatenate([self._encode([distinct[i] for i in batch]) for batch in shard]),  # noqa: B023
            )
            encoded += len(some) if is_new else 0
            blocks.append(block)
            done += len(some)
            step(done, len(distinct))
        return self._in_order(inputs, [distinct[i] for i in itertools.chain.from_iterable(batches)], blocks), encoded

    def table(self, inputs: Sequence[TokenInput], tokens_per_batch: int = 0) -> Sequences:
        """Encode all inputs in memory, without shards.

        Args: tokens_per_batch: tokens read at once, padding included; 0: as many as `extract` reads.
        """
        from mer.features.cache.shards import TOKENS_PER_BATCH, plan_batches

        if self.start is None:
            rows = [np.array(item.ids, dtype=np.int32) for item in inputs]
            return Sequences.join(rows, [(item.start, item.end) for item in inputs])
        distinct = list(dict.fromkeys(inputs))
        batches = plan_batches([len(item.ids) for item in distinct], tokens_per_batch or TOKENS_PER_BATCH)
        blocks = [self._encode([distinct[i] for i in batch]) for batch in batches]
        return self._in_order(inputs, [distinct[i] for i in itertools.chain.from_iterable(batches)], blocks)

    def units(self, item: TokenInput) -> int:
        """Count the states that are kept of an input."""
        return len(item.ids)

    def span(self, item: TokenInput) -> tuple[int, int]:
        """Return the range [start, end) of them that the pooler averages."""
        return item.start, item.end

    def _encode(self, batch: Sequence[TokenInput]) -> np.ndarray:
        """Hidden states (T, D) of all tokens of a batch, input after input, rounded as they are stored."""
        import torch

        from mer.features.cache.shards import as_stored

        lower = self._lower = self._lower or self._load()
        longest = max(len(item.ids) for item in batch)
        ids_BT = torch.full((len(batch), longest), lower.pad, dtype=torch.long)
        real_BT = torch.zeros(len(batch), longest, dtype=torch.long)
        for row, item in enumerate(batch):
            ids_BT[row, : len(item.ids)] = torch.tensor(item.ids)
            real_BT[row, : len(item.ids)] = 1
        with torch.inference_mode(), half_precision(self.config.dtype, self.device):
            (states_BTD,) = lower(ids_BT.to(self.device), real_BT.to(self.device))
        flat_TD = states_BTD[real_BT.bool().to(self.device)].float().cpu().numpy()
        return as_stored(flat_TD[:, None], f"hidden state {self.start}")[:, 0]

    def _load(self) -> Any:
        import torch

        from mer.features.partial import lower_part

        assert self.start is not None
        example = torch.arange(5, 5 + _CHECKED_TEXTS)[None]
        return lower_part(self.config, self.found, self._base, self.start, example).to(self.device)

    def _in_order(
        self, inputs: Sequence[TokenInput], read: Sequence[TokenInput], blocks: Sequence[np.ndarray]
    ) -> Sequences:
        """Give every input its row.

        Args:
            read: the distinct inputs in the order in which they were encoded.
            blocks: their hidden states (T, D), one after another.
        """
        ends = np.cumsum([self.units(item) for item in read])
        flat = np.concatenate(blocks)  # widens to float32 when one block had to
        place = {item: slice(end - self.units(item), end) for item, end in zip(read, ends, strict=True)}
        return Sequences.join([flat[place[item]] for item in inputs], [self.span(item) for item in inputs])
