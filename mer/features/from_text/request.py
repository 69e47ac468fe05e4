"""What is asked for, and the key that names the file which answers it.

The key is the SHA-256 of every ingredient of the numbers inside. Not among them: where the data and a local backbone
lie (their content is hashed instead), which layers a head reads (all are stored) and which label it predicts (all are
inside), so that trials which differ only in those share one file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from mer.config import DataConfig, Speaker, TextEncoderConfig
from mer.features.backbone.files import BackboneFolder, Fingerprint
from mer.features.cache.key import FORMAT_VERSION, STORAGE, Dtype, labels_hash
from mer.features.text.turn_tokenizer import PREPROCESSING_VERSION, PROMPT, Pooler, TurnWindow


@dataclass(frozen=True)
class FeatureRequest:
    """One split of one dataset, read by one backbone in one way. Equal requests have equal files."""

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
        context = encoder.context
        return cls(
            dataset=data.dataset,
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

    def words(self) -> dict[str, Any]:
        """Every ingredient that the configuration decides, without the hashes that need the files."""
        from mer.data.text import NORMALISATION_VERSION

        return {
            "format": FORMAT_VERSION,
            "modality": self.modality,
            "dataset": self.dataset,
            "split": self.split,
            "backbone": {"name": self.backbone, "revision": self.revision, "dtype": self.dtype},
            "input": {
                "past": self.past,
                "future": self.future,
                "speaker": self.speaker,
                "prompt": f"{PROMPT} <mask>" if self.prompt else None,
                "max_tokens": self.max_tokens,
                "preprocessing_version": PREPROCESSING_VERSION,
                "normalisation_version": NORMALISATION_VERSION,
            },
            "pooler": self.pooler,
            "storage": STORAGE,
        }

    def ingredients(self, found: BackboneFolder, fingerprint: Fingerprint, content_sha256: str) -> dict[str, Any]:
        """The words, with everything that had to be read from files. `key_of` hashes this."""
        backbone = {
            "name": found.name,
            "revision": found.revision,
            "weights_sha256": fingerprint.weights,
            "tokenizer_sha256": fingerprint.tokenizer,
            "config_sha256": fingerprint.config,
            "dtype": self.dtype,
        }
        return {**self.words(), "backbone": backbone, "content_sha256": content_sha256}


def content_hash(
    windows: Sequence[TurnWindow], labels: Mapping[str, np.ndarray], label_names: Mapping[str, tuple[str, ...]]
) -> str:
    """SHA-256 of ids, rendered windows, labels and label names, in row order."""
    digest = hashlib.sha256()
    for window in windows:
        row = [window.id, window.turns, window.target, window.speaker]
        digest.update(json.dumps(row, ensure_ascii=True).encode() + b"\n")
    digest.update(labels_hash(labels, label_names).encode())
    return digest.hexdigest()
