"""Pooled hidden states of texts: windows of turns are tokenised, encoded in batches, and pooled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mer.config import DataConfig, TextEncoderConfig
from mer.data import Corpus, windows
from mer.data.context import earlier_windows
from mer.errors import MerError
from mer.features.backbone.files import fingerprint, locate
from mer.features.cache import shards
from mer.features.cache.feature_file import place_of
from mer.features.cache.shards import as_stored, plan_batches, plan_shards, read_if_finished
from mer.features.from_text.request import FeatureRequest, content_hash
from mer.features.lacking import refuse_no_text
from mer.features.modalities import describe_backbone
from mer.features.reading import Extracted, PreparedSplit
from mer.progress import Step

if TYPE_CHECKING:
    from mer.features.text.pretrained import Encoder

import itertools
from collections.abc import Callable, Iterator, Sequence

from mer.features.cache import tensors
from mer.features.text.turn_tokenizer import TokenInput
from mer.files import sha256_json

Encode = Callable[[Sequence[TokenInput]], np.ndarray]


def _of_asked(labels_N: np.ndarray, asked: Sequence[int | None]) -> np.ndarray:
    """Give each row the label of the turn that is asked about; -1 where none is."""
    told = np.array([labels_N[0] if row is None else labels_N[row] for row in asked], dtype=labels_N.dtype)
    told[[row is None for row in asked]] = -1
    return told


class TextReading:
    """Reads texts with a frozen backbone; a `mer.features.reading.Reading`.

    Args: asks_earlier: windows are asked about an earlier turn, whose label the row then has.
    Raises: MerError when the backbone is not to be had.
    """

    def __init__(self, config: TextEncoderConfig, cache: Path, *, asks_earlier: bool = False) -> None:
        self.config, self.asks_earlier = config, asks_earlier
        self.found = locate(config, weights=True)
        describe_backbone(config)  # refuses what is not an encoder before anything is hashed
        self.hashes = fingerprint(self.found, cache)
        self.name, self.slug, self.device, self.unit = self.found.name, self.found.slug, "", "texts"
        self._encoder: Encoder | None = None

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> PreparedSplit:
        refuse_no_text(corpus, split)
        request = FeatureRequest.from_config(data, self.config, split)
        rows = windows(corpus.dialogues(split), past=request.past, future=request.future, speaker=request.speaker)
        ids = tuple(utterance.id for utterance in corpus.utterances(split))
        if tuple(row.id for row in rows) != ids or not rows:
            raise MerError(request.root, f"split {split!r}: {len(rows)} windows for {len(ids)} utterances")
        labels = {task: corpus.labels(split, task) for task in corpus.label_names}
        if self.asks_earlier:
            rows, asked = earlier_windows(
                corpus.dialogues(split), past=request.past, future=request.future, speaker=request.speaker
            )
            labels = {task: _of_asked(own, asked) for task, own in labels.items()}
        content = content_hash(rows, labels, corpus.label_names)
        ingredients = request.ingredients(self.found, self.hashes, content)
        ingredients["input"] |= {"asks": "an earlier turn"} if self.asks_earlier else {}
        path = place_of(ingredients, cache=cache, slug=self.slug)
        return PreparedSplit(split, ids, labels, corpus.label_names, rows, ingredients, path)

    def extract(self, prepared: PreparedSplit, *, parts: Path, step: Step) -> Extracted:
        from mer.features.text.pretrained import (
            Encoder,  # torch and transformers: seconds to import, so only when needed
        )

        config = self.config
        encoder = self._encoder = self._encoder or Encoder(self.found, config.dtype)
        self.device = str(encoder.device)
        tokenizer = encoder.turn_tokenizer(
            max_tokens=config.context.max_tokens, prompt=config.prompt, pooler=config.pooler
        )
        inputs = [tokenizer.window(window) for window in prepared.rows]
        encoder.check(inputs)
        features, encoded = extract(inputs, encoder.encode, parts=parts, key=prepared.key, step=step)
        label_text = {
            task: np.concatenate([encoder.encode([tokenizer.word(name)]) for name in names])
            for task, names in prepared.label_names.items()
        }
        return Extracted(features, encoded, label_text)


def extract(
    inputs: Sequence[TokenInput],
    encode: Encode,
    *,
    parts: Path,
    key: str,
    step: Step,
) -> tuple[np.ndarray, int]:
    """Encode every input, and take over the whole shards that an interrupted run left in `parts`.

    Args:
        inputs: one per row; equal ones are encoded once.
        encode: turns B inputs into float32 (B, L+1, D).
        parts: folder for shards, removed by the caller once the result is safe.
        key: of the file being made; shards of another key or another plan are not used.
    Returns: (N, L+1, D), float16 or float32 if a value exceeds float16, and the number of texts encoded just now.
    Raises: MerError when a hidden state is not finite; OSError when the disk is full (whole shards stay).
    """
    distinct = list(dict.fromkeys(inputs))
    batches = plan_batches([len(item.ids) for item in distinct], shards.TOKENS_PER_BATCH)
    plan = sha256_json([key, batches])
    done = encoded = 0
    rows: list[np.ndarray] = []
    for number, shard in enumerate(plan_shards(batches, shards.SHARD_ROWS)):
        path, count = parts / f"{number:05d}.safetensors", sum(map(len, shard))
        block = read_if_finished(path, plan, count)
        if block is None:
            pieces: list[np.ndarray] = []
            if encoded == 0:
                step(done, len(distinct))  # the clock starts here: shards of a killed run took no time now
            for piece in encode_batches(shard, distinct, encode):
                pieces.append(piece)
                encoded += len(piece)
                step(done + sum(map(len, pieces)), len(distinct))
            block = np.concatenate(pieces)
            tensors.write(path, {"features": block}, {"plan": plan})
        rows.append(block)
        done += count
    if encoded == 0:
        step(done, len(distinct))
    block = np.concatenate(rows)  # widens to float32 when one shard had to
    place = np.empty(len(distinct), dtype=np.int64)
    place[list(itertools.chain.from_iterable(batches))] = np.arange(len(distinct))
    position = {item: place[i] for i, item in enumerate(distinct)}
    return block[[position[item] for item in inputs]], encoded


def encode_batches(batches: list[list[int]], distinct: Sequence[TokenInput], encode: Encode) -> Iterator[np.ndarray]:
    """Yield each batch's hidden states, rounded as they are stored. Raises: MerError when one is not finite."""
    for batch in batches:
        yield as_stored(encode([distinct[i] for i in batch]))
