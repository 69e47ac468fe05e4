"""A request for text features: one split of one dataset, read by one backbone in one way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np

from mer.config import DataConfig, Speaker, TextEncoderConfig
from mer.features.backbone.files import BackboneFolder, Fingerprint
from mer.features.cache.key import Dtype, backbone_words, ingredients_of, rows_hash
from mer.features.text.turn_tokenizer import PREPROCESSING_VERSION, PROMPT, Pooler, TurnWindow


@dataclass(frozen=True)
class FeatureRequest:
    """The configuration's part of a feature file of texts. Equal requests have equal files."""

    dataset: str
    root: str
    split: str
    backbone: str
    revision: str | None
    past: int | Literal["all"]
    future: int
    speaker: Speaker
    prompt: bool
    max_tokens: int
    pooler: Pooler
    dtype: Dtype
    modality: Literal["text"] = "text"

    @classmethod
    def from_config(cls, data: DataConfig, encoder: TextEncoderConfig, split: str) -> Self:
        """Take from a configuration whatever decides the numbers; not the label, not the layers that a head reads."""
        context = encoder.context
        return cls(
            dataset=data.corpus_name,
            root=data.root,
            split=split,
            backbone=encoder.backbone,
            revision=encoder.revision,
            past=context.past,
            future=context.future,
            speaker=encoder.speaker,
            prompt=encoder.prompt,
            max_tokens=context.max_tokens,
            pooler=encoder.pooler,
            dtype=encoder.dtype,
        )

    def ingredients(self, found: BackboneFolder, hashes: Fingerprint, content_sha256: str) -> dict[str, Any]:
        """List what decides the numbers of the file; `key_of` hashes it.

        Args:
            found: where the backbone lies.
            hashes: of the backbone's files.
            content_sha256: of the split, see `content_hash`.
        """
        from mer.data.text import NORMALISATION_VERSION

        reads = {
            "past": self.past,
            "future": self.future,
            "speaker": self.speaker,
            "prompt": f"{PROMPT} <mask>" if self.prompt else None,
            "max_tokens": self.max_tokens,
            "preprocessing_version": PREPROCESSING_VERSION,
            "normalisation_version": NORMALISATION_VERSION,
        }
        return ingredients_of(
            modality=self.modality,
            dataset=self.dataset,
            split=self.split,
            backbone=backbone_words(found.name, found.revision, self.dtype, **asdict(hashes)),
            reads=reads,
            pooler=self.pooler,
            content_sha256=content_sha256,
        )


def content_hash(
    windows: Sequence[TurnWindow], labels: Mapping[str, np.ndarray], label_names: Mapping[str, tuple[str, ...]]
) -> str:
    """Hash ids, rendered windows, labels and label names, in row order."""
    rows = ([window.id, window.turns, window.target, window.speaker] for window in windows)
    return rows_hash(rows, labels, label_names)
