"""Who speaks: the number of each turn's speaker in its dialogue, in a feature file like those of encoders.

So it reaches workers, evaluations and exports by the way that features take. A file holds (N, 1, 1) float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mer.config import SPEAKERS, DataConfig
from mer.data import Corpus
from mer.data.types import speaker_numbers
from mer.features.cache.feature_file import place_of
from mer.features.cache.key import backbone_words, ingredients_of, rows_hash
from mer.features.reading import Extracted, PreparedSplit
from mer.progress import Step

_NUMBERING = "by first appearance in the dialogue"


class SpeakerReading:
    """Numbers the speakers of every dialogue; a `mer.features.reading.Reading`."""

    name, slug, device, unit = SPEAKERS, SPEAKERS, "cpu", "utterances"

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> PreparedSplit:
        labels = {task: corpus.labels(split, task) for task in corpus.label_names}
        ids = tuple(utterance.id for utterance in corpus.utterances(split))
        rows = list(zip(ids, speaker_numbers(corpus.dialogues(split)).tolist(), strict=True))
        ingredients: dict[str, Any] = ingredients_of(
            modality=SPEAKERS,
            dataset=corpus.name,
            split=split,
            backbone=backbone_words(self.name, None, "float32", weights="", tokenizer="", config=""),
            reads={"numbering": _NUMBERING},
            pooler="none",
            content_sha256=rows_hash(rows, labels, corpus.label_names),
            storage="float32",
        )
        return PreparedSplit(
            split,
            ids,
            labels,
            corpus.label_names,
            rows,
            ingredients,
            place_of(ingredients, cache=cache, slug=self.slug),
        )

    def extract(self, prepared: PreparedSplit, *, parts: Path, step: Step) -> Extracted:
        numbers_N = np.array([number for _, number in prepared.rows], dtype=np.float32)
        return Extracted(numbers_N[:, None, None], 0, present_N=np.ones(len(numbers_N), dtype=bool))
