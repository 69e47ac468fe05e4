"""Name a cache file by a hash of every ingredient that decides its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from mer.files import sha256_json

FORMAT_VERSION = 1  # of the file; raise it when its layout changes
Dtype = Literal["float32", "bfloat16"]
STORAGE = "float16, or float32 where a value exceeds float16"


def key_of(ingredients: Mapping[str, Any]) -> str:
    return sha256_json(ingredients)


def labels_hash(labels: Mapping[str, np.ndarray], label_names: Mapping[str, tuple[str, ...]]) -> str:
    """SHA-256 of all labels and their names."""
    return sha256_json({task: [label_names[task], labels[task].tolist()] for task in label_names})
