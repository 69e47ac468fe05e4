"""How one modality is read: what decides its features, and how they are made. `ensure` drives it.

`text_reading.TextReading` and `clip_reading.ClipReading` are the two ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mer.config import ClipEncoderConfig, DataConfig
from mer.data import Corpus
from mer.features.cache.key import key_of
from mer.features.cache.sequences import Sequences
from mer.features.cache.shards import Shard
from mer.progress import Step

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False)
class PreparedSplit:
    """Everything about one split that is decided before a backbone runs.

    Args:
        rows: what the modality's reading extracts, one per utterance.
        ingredients: what decides the features; their hash is the key.
        path: the feature file.
    """

    split: str
    ids: tuple[str, ...]
    labels: dict[str, np.ndarray]
    label_names: Mapping[str, tuple[str, ...]]
    rows: Sequence[Any]
    ingredients: dict[str, Any]
    path: Path

    @property
    def key(self) -> str:
        return key_of(self.ingredients)


@dataclass(frozen=True, eq=False)
class Extracted:
    """The features of one split.

    Args:
        features_NLD: float16, or float32 where a value exceeds float16; rows of absent clips are zero.
        encoded: inputs the backbone read just now.
        label_text: per task (C, L, D), each label word encoded alone; none for clips.
        present_N: whether the row is there; None: all are.
        faults: id -> why its row is masked.
        notes: id -> what had to be mended to read it.
        ingredients: of what was really read, where a file went away meanwhile; None: as prepared.
        logits_NC: class scores, of a whole model's outputs only.
        sequences: what a tuned encoder reads; `features_NLD` then has no layers (L = 0).
    """

    features_NLD: np.ndarray
    encoded: int
    label_text: dict[str, np.ndarray] = field(default_factory=dict)
    present_N: np.ndarray | None = None
    faults: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    ingredients: dict[str, Any] | None = None
    logits_NC: np.ndarray | None = None
    sequences: Sequences | None = None


class Reading(Protocol):
    """A located backbone of one modality, and the way it is used."""

    name: str  # of the backbone
    slug: str  # its name as a folder
    device: str  # "" until something was extracted
    unit: str  # what is counted: "texts" or "clips"

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> PreparedSplit: ...

    def extract(self, prepared: PreparedSplit, *, parts: Path, step: Step) -> Extracted: ...


@dataclass(frozen=True)
class ClipRow:
    """One clip to read. `sha256` of its content; None where there is no readable file, and then `fault` says why."""

    id: str
    path: Path | None
    sha256: str | None
    fault: str = ""


@dataclass(frozen=True, eq=False)
class ShardResult:
    """A shard's clips, in its order: features (n, L, D) with zero rows for masked clips, and what was said of them."""

    features_NLD: np.ndarray
    faults: dict[str, str]
    notes: dict[str, str]


# (encoder, rows, unfinished shards by number) -> finished ones, in any order
Spread = Callable[
    [ClipEncoderConfig, Sequence[ClipRow], Iterable[tuple[int, Shard]]], Iterator[tuple[int, ShardResult]]
]


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
