"""Text: dialogue windows to tokens to pooled hidden states."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mer.config import DataConfig, TextEncoderConfig
from mer.data import Corpus, windows
from mer.errors import MerError
from mer.features.backbone.files import describe_backbone, fingerprint, locate
from mer.features.cache.feature_file import file_name
from mer.features.from_text.request import FeatureRequest, content_hash, key_of
from mer.features.reading import Extracted, Prepared
from mer.progress import Step

if TYPE_CHECKING:
    from mer.features.text.pretrained import Encoder


class TextReading:
    """Raises: MerError when the backbone is not to be had."""

    def __init__(self, config: TextEncoderConfig, cache: Path) -> None:
        self.config = config
        self.found = locate(config, weights=True)
        describe_backbone(config)  # refuses what is not an encoder before anything is hashed
        self.hashes = fingerprint(self.found, cache)
        self.name, self.slug, self.device, self.unit = self.found.name, self.found.slug, "", "texts"
        self._encoder: Encoder | None = None

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> Prepared:
        request = FeatureRequest.from_config(data, self.config, split)
        rows = windows(corpus.dialogues(split), past=request.past, future=request.future, speaker=request.speaker)
        ids = tuple(utterance.id for utterance in corpus.utterances(split))
        if tuple(row.id for row in rows) != ids or not rows:
            raise MerError(request.root, f"split {split!r}: {len(rows)} windows for {len(ids)} utterances")
        labels = {task: corpus.labels(split, task) for task in corpus.label_names}
        content = content_hash(rows, labels, corpus.label_names)
        ingredients = request.ingredients(self.found, self.hashes, content)
        path = cache / request.dataset / request.modality / self.slug / file_name(split, key_of(ingredients))
        return Prepared(split, ids, labels, corpus.label_names, rows, ingredients, path)

    def extract(self, prepared: Prepared, *, parts: Path, step: Step) -> Extracted:
        from mer.features.cache.shards import extract
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
