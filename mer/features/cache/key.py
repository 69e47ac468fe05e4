"""The key of a feature file: a hash of every ingredient that decides the numbers in it.

Files with equal keys hold equal numbers, so `ensure_features` looks for the key and extracts only what is missing.
Not among the ingredients: where the data and a local backbone lie (their content is hashed instead), which layers a
head reads (all are stored) and which label it predicts (all are inside). Trials that differ only in those share a file.

Every key is made here. The callers add what is special to them: how an input is prepared, and the content of its rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from mer.files import sha256_json

FORMAT_VERSION = 1  # of the file; raise it when its layout changes
SEQUENCE_FORMAT = 1  # of the tensors `tokens.*` in it; raise it when their layout changes
Dtype = Literal["float32", "bfloat16", "float16"]
STORAGE = "float16, or float32 where a value exceeds float16"


def key_of(ingredients: Mapping[str, Any]) -> str:
    """SHA-256 of the ingredients' canonical JSON, in hex."""
    return sha256_json(ingredients)


def ingredients_of(
    *,
    modality: str,
    dataset: str,
    split: str,
    backbone: Mapping[str, str | None],
    reads: Mapping[str, Any],
    pooler: str,
    content_sha256: str,
    storage: str | None = None,
) -> dict[str, Any]:
    """List what decides the numbers of one file, as its header repeats it.

    Args:
        modality: "text", "audio", "video", or "model" for the outputs of a whole model.
        backbone: from `backbone_words`.
        reads: how an input is prepared before the backbone.
        pooler: how hidden states become one vector.
        content_sha256: of the utterances, see `rows_hash`.
        storage: the type of the stored numbers; None: that of pooled hidden states.
    """
    return {
        "format": FORMAT_VERSION,
        "modality": modality,
        "dataset": dataset,
        "split": split,
        "backbone": dict(backbone),
        "input": dict(reads),
        "pooler": pooler,
        "storage": STORAGE if storage is None else storage,
        "content_sha256": content_sha256,
    }


def backbone_words(
    name: str, revision: str | None, dtype: str, *, weights: str, tokenizer: str, config: str
) -> dict[str, str | None]:
    """Say which backbone makes the numbers.

    Args:
        revision: commit of a Hugging Face id, else None.
        dtype: of its arithmetic.
        weights, tokenizer, config: SHA-256 of its files; "" where it has none.
    """
    return {
        "name": name,
        "revision": revision,
        "weights_sha256": weights,
        "tokenizer_sha256": tokenizer,
        "config_sha256": config,
        "dtype": dtype,
    }


def ingredients_of_sequences(
    pooled: Mapping[str, Any],
    *,
    hidden_state: int | None,
    hidden_states: int,
    width: int,
    raw_dtype: str | None = None,
    most: int | None = None,
) -> dict[str, Any]:
    """List what decides the sequences that a tuned encoder reads, or a model that pools states by itself.

    Args:
        pooled: the ingredients of the same encoder's pooled features.
        hidden_state: the one that is stored; None (of text: 0) for the encoder's raw input.
        hidden_states: how many the whole encoder has.
        width: numbers per hidden state.
        raw_dtype: type of the stored raw input, which no arithmetic of the backbone touches; None for a hidden state.
        most: states of an utterance that are kept (pooler none); None: those of a tuned encoder's input, all.
    """
    words = {"format": SEQUENCE_FORMAT, "hidden_state": hidden_state, "of": hidden_states, "width": width}
    words |= {} if most is None else {"most": most}
    backbone = pooled["backbone"] if raw_dtype is None else {**pooled["backbone"], "dtype": raw_dtype}
    return {**pooled, "modality": "tokens", "tokens": words, "backbone": backbone}


def rows_hash(
    rows: Iterable[Sequence[Any]], labels: Mapping[str, np.ndarray], label_names: Mapping[str, tuple[str, ...]]
) -> str:
    """SHA-256 of JSON-able rows, one per utterance and in their order, then of all labels and label names."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, ensure_ascii=True).encode() + b"\n")
    digest.update(labels_hash(labels, label_names).encode())
    return digest.hexdigest()


def labels_hash(labels: Mapping[str, np.ndarray], label_names: Mapping[str, tuple[str, ...]]) -> str:
    """SHA-256 of all labels and their names."""
    return sha256_json({task: [label_names[task], _plain(labels[task])] for task in label_names})


def _plain(values: np.ndarray) -> list[Any]:
    """List labels for JSON, which has no NaN."""
    if values.ndim == 1:
        return list(values.tolist())
    return [[None if value != value else value for value in row] for row in values.tolist()]
