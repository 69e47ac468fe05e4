"""The arrays a TrainingRun reads: shared, read-only, never copied whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CHUNK_ROWS = 2048
Chunk = tuple[Tensor, Tensor | None]  # features (n, L, D), and which of the rows are there (None: all)


@dataclass(frozen=True)
class SplitArrays:
    """One split. `features_NLD` may be shared memory: rows are gathered, the array itself is never written.

    Args:
        present_N: bool, False where the clip could not be read; None: every row is there. Masked rows are not trained
            on, and are scored as an utterance with average features, so that scores stay over all utterances.
    """

    ids: tuple[str, ...]
    features_NLD: np.ndarray
    labels_N: np.ndarray
    present_N: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def present_rows(self) -> np.ndarray:
        """Numbers of the rows that are there."""
        return np.arange(len(self)) if self.present_N is None else np.flatnonzero(self.present_N)

    def batch(self, rows: np.ndarray, layers: list[int], device: str = "cpu") -> tuple[Tensor, Tensor]:
        """Copies of the given rows: features (B, len(layers), D) float32 and labels (B,) int64."""
        gathered = torch.from_numpy(self.features_NLD[rows[:, None], layers])  # a copy: safe to hand to torch
        labels = torch.from_numpy(self.labels_N[rows])
        return gathered.to(device).float(), labels.to(device)

    def chunks(self, layers: list[int], device: str = "cpu") -> Iterator[Chunk]:
        """Copies of all features in row order, so many rows at a time that memory stays small."""
        for start in range(0, len(self), CHUNK_ROWS):
            rows = np.arange(start, min(start + CHUNK_ROWS, len(self)))
            present = None if self.present_N is None else torch.tensor(self.present_N[rows], device=device)
            yield self.batch(rows, layers, device)[0], present


@dataclass(frozen=True)
class TrainingData:
    """Train and dev of one modality. There is no place for a test split here, on purpose.

    Args:
        class_names: C names in the order of the labels.
        label_text_CLD: the label words through the same encoder (EACL anchors, APCL initialisation).
    """

    train: SplitArrays
    dev: SplitArrays
    class_names: tuple[str, ...]
    label_text_CLD: np.ndarray | None = None
