"""The interface between `ensure` and the ten ways of reading a split: what they are asked, and what they give.

A reading is one backbone used in one way, or what needs none:

    TextReading           pooled hidden states of texts           from_text.pooled
    TextSequenceReading   texts for a tuned encoder               from_text.sequences
    TokenReading          hidden states of single tokens          from_text.unpooled
    ClipReading           pooled hidden states, or statistics     from_clips.pooled
    ClipSequenceReading   clips for a tuned encoder               from_clips.sequences
    ClipStepReading       hidden states of each step of time      from_clips.unpooled
    GivenReading          features that others extracted          from_files.pooled
    GivenStepReading      their frames                            from_files.unpooled
    SpeakerReading        who speaks                              speakers
    ModelReading          outputs of a whole exported model       mer.model_outputs
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mer.config import ClipEncoderConfig, DataConfig
from mer.data import Corpus
from mer.features.cache.key import key_of
from mer.features.cache.sequences import Sequences
from mer.features.cache.shards import Shard
from mer.progress import Step


@dataclass(frozen=True, eq=False)
class PreparedSplit:
    """One split before a backbone runs: its labels, its rows, and the place of its feature file.

    Args:
        ids: N utterance ids.
        labels: per task, int64 (N,), or of numbers or several labels float32 (N, C).
        label_names: per task, the C class names.
        rows: N inputs of the reading: windows of turns, clips, or files of features.
        ingredients: everything that decides the features; their hash is the key.
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
        features_NLD: float16, or float32 if a value exceeds float16; rows of absent clips are zero.
        encoded: inputs that the backbone read just now.
        label_text: per task (C, L, D), each label word encoded alone; empty for clips.
        present_N: True for the rows that are there; None: all are.
        faults: id -> why its row is masked.
        notes: id -> the fault of the clip that was mended.
        ingredients: replace the prepared ones when a file went away during extraction; None: as prepared.
        logits_NC: class scores, only in the outputs of a whole model.
        sequences: the input of a tuned encoder, or unpooled states; `features_NLD` then has no layers (L = 0).
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
    """A located backbone and one way of using it.

    Attributes:
        name: the backbone's name.
        slug: the backbone's name as a folder.
        device: where it runs; "" until something was extracted.
        unit: "texts", "clips" or "utterances", for progress and the sidecar.
    """

    name: str
    slug: str
    device: str
    unit: str

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> PreparedSplit:
        """Decide everything that does not need the backbone's weights. Raises: MerError."""
        ...

    def extract(self, prepared: PreparedSplit, *, parts: Path, step: Step) -> Extracted:
        """Read every row.

        Args:
            parts: folder of this file's shards; whole ones that an interrupted run left there are taken over.
            step: is called with the number of inputs done and in all.
        Raises: MerError.
        """
        ...


@dataclass(frozen=True)
class ClipRow:
    """One clip to read. Without a readable file its `sha256` is None, and `fault` says why.

    Args: note: what is to be said of a clip that is read.
    """

    id: str
    path: Path | None
    sha256: str | None
    fault: str = ""
    note: str = ""


@dataclass(frozen=True, eq=False)
class ShardResult:
    """A shard's n clips, in its order: features (n, L, D) with zero rows for masked clips, their faults and notes."""

    features_NLD: np.ndarray
    faults: dict[str, str]
    notes: dict[str, str]


# (encoder, rows, unfinished shards by number) -> (number, result) of finished shards, in any order
Spread = Callable[
    [ClipEncoderConfig, Sequence[ClipRow], Iterable[tuple[int, Shard]]], Iterator[tuple[int, ShardResult]]
]


@dataclass(frozen=True, eq=False)
class LiveFeatures:
    """Features of texts or clips that belong to no dataset. Row i is the i-th utterance, dialogue after dialogue.

    Args:
        features_NLD: as in a feature file, float16 (float32 if a value exceeds float16); Sequences for a tuned encoder,
            and for pooler none.
        truncated_N: True for an utterance whose own text lost tokens, or whose clip lost its end; lost context does
            not count.
        faults_N: why an answer to a row is an answer from nothing: its clip is masked or silent, its text is empty or
            unknown to the backbone; '' for a row in order.
        present_N: True for the rows that are there; None: all are.
    """

    features_NLD: Any
    truncated_N: np.ndarray
    faults_N: Sequence[str]
    present_N: np.ndarray | None = None
