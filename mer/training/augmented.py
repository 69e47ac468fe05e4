"""Training rows with samples beside them, of which each epoch draws some: windows that ask about an earlier turn.

Samples are numbered behind the rows. Whoever goes through a split in order meets the rows alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mer.errors import MerError
from mer.features.cache.sequences import Sequences
from mer.models.sequence_batch import SequenceBatch
from mer.training.data import Part, SequenceSplit, Split, SplitArrays

_NOTHING = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class AugmentedArrays(SplitArrays):
    """Rows as they are, and as many samples. Args: more_NLD, more_labels_N: of the samples; -1 for one that is none."""

    more_NLD: np.ndarray = field(default_factory=lambda: _NOTHING)
    more_labels_N: np.ndarray = field(default_factory=lambda: _NOTHING)

    @property
    def all_labels_N(self) -> np.ndarray:
        """Labels of rows and samples."""
        return np.concatenate([self.labels_N, self.more_labels_N])

    @property
    def extra_rows(self) -> np.ndarray:
        """Numbers of the samples."""
        return len(self) + np.flatnonzero(self.more_labels_N >= 0)

    def batch(self, rows: np.ndarray, layers: list[int], device: str = "cpu") -> tuple[Tensor, Tensor]:
        is_more = rows >= len(self)
        own = np.where(is_more, rows - len(self), rows)
        gathered = self.features_NLD[own[:, None], layers].astype(np.float32)
        gathered[is_more] = self.more_NLD[own[is_more][:, None], layers]
        labels = np.where(is_more, self.more_labels_N[own], self.labels_N[own])
        return torch.from_numpy(gathered).to(device), torch.from_numpy(labels).to(device)


@dataclass(frozen=True)
class AugmentedSequences(SequenceSplit):
    """Rows of a tuned encoder, and as many samples: `sequences` holds both.

    Args: more_labels_N: of the samples; -1 for one that is none.
    """

    more_labels_N: np.ndarray = field(default_factory=lambda: _NOTHING)

    @property
    def extra_rows(self) -> np.ndarray:
        """Numbers of the samples."""
        return len(self) + np.flatnonzero(self.more_labels_N >= 0)

    def batch(self, rows: np.ndarray, layers: list[int], device: str = "cpu") -> tuple[SequenceBatch, Tensor]:
        some, labels = self.sequences.gather(rows), np.concatenate([self.labels_N, self.more_labels_N])[rows]
        batch = SequenceBatch(torch.from_numpy(some.values).to(device), some.lengths, some.spans)
        return batch, torch.from_numpy(labels).to(device)


def with_earlier(rows: Split, samples: Part) -> Split:
    """Put the samples that ask about earlier turns beside the rows of one modality.

    Raises: MerError when they are of other utterances.
    """
    if rows.ids != samples.ids:
        raise MerError("features", "the windows that ask about earlier turns are of other utterances")
    if isinstance(rows, SplitArrays) and isinstance(samples, SplitArrays):
        own: dict[str, Any] = {name: getattr(rows, name) for name in ("ids", "features_NLD", "labels_N", "present_N")}
        return AugmentedArrays(**own, more_NLD=samples.features_NLD, more_labels_N=samples.labels_N)
    assert isinstance(rows, SequenceSplit) and isinstance(samples, SequenceSplit)
    both = Sequences(
        np.concatenate([rows.sequences.values, samples.sequences.values]),
        np.concatenate([rows.sequences.offsets, samples.sequences.offsets[1:] + rows.sequences.offsets[-1]]),
        np.concatenate([rows.sequences.spans, samples.sequences.spans]),
    )
    return AugmentedSequences(rows.ids, both, rows.labels_N, rows.width, rows.present_N, more_labels_N=samples.labels_N)


def extra_rows(split: Split) -> np.ndarray:
    """Return the numbers of a split's samples; none where it has rows alone."""
    found: np.ndarray = getattr(split, "extra_rows", _NOTHING)
    return found


def all_labels(split: SplitArrays) -> np.ndarray:
    """Return the labels of rows and samples."""
    found: np.ndarray = getattr(split, "all_labels_N", split.labels_N)
    return found
