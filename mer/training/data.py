"""The arrays a TrainingRun reads: shared, read-only, never copied whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mer.features.cache.sequences import Sequences
from mer.models.fused_batch import FusedBatch
from mer.models.sequence_batch import SequenceBatch
from mer.training.labels import blank_unlabelled, has_label, same_labels

CHUNK_ROWS = 2048
_CHUNK_BYTES = 2**28  # of what a tuned encoder reads, which may be pixels
_CHUNK_STATES = 2**14  # that a model pools: its own tensors of them are many times as large
Chunk = tuple[Any, Tensor | None]  # features (n, L, D) and which of the rows are there (None: all); or FusedBatch, None


@dataclass(frozen=True)
class SplitArrays:
    """Hold one split of one modality. `features_NLD` may be shared memory: rows are copied, the array is never written.

    Args:
        labels_N: as `mer.training.labels` says: class numbers (N,), or numbers or labels (N, T).
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
    def width(self) -> int:
        return int(self.features_NLD.shape[2])

    @property
    def chunk_rows(self) -> int:
        """Number of rows to read at once where no gradient is kept."""
        return CHUNK_ROWS

    @property
    def present_rows(self) -> np.ndarray:
        """Numbers of the rows that are there."""
        return np.arange(len(self)) if self.present_N is None else np.flatnonzero(self.present_N)

    @property
    def labelled_rows(self) -> np.ndarray:
        """Numbers of the rows that are there and have a label."""
        rows_N = self.present_rows
        return rows_N[has_label(self.labels_N[rows_N])]

    def batch(self, rows: np.ndarray, layers: list[int], device: str = "cpu") -> tuple[Tensor, Tensor]:
        """Copy the given rows: features (B, len(layers), D) float32 and labels (B,) int64."""
        gathered = torch.from_numpy(self.features_NLD[rows[:, None], layers])  # a copy: safe to hand to torch
        labels = torch.from_numpy(self.labels_N[rows])
        return gathered.to(device).float(), labels.to(device)

    def chunks(self, layers: list[int], device: str = "cpu") -> Iterator[Chunk]:
        """Copy all features in row order, a limited number of rows at a time."""
        for start in range(0, len(self), CHUNK_ROWS):
            rows = np.arange(start, min(start + CHUNK_ROWS, len(self)))
            present = None if self.present_N is None else torch.tensor(self.present_N[rows], device=device)
            yield self.batch(rows, layers, device)[0], present


@dataclass(frozen=True)
class SequenceSplit:
    """Hold one split as a tuned encoder reads it, or states that a model pools. Used as `SplitArrays` is."""

    ids: tuple[str, ...]
    sequences: Sequences
    labels_N: np.ndarray
    width: int  # of the encoder
    present_N: np.ndarray | None = None
    are_states: bool = False  # of tokens or steps of time (pooler none)

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def chunk_rows(self) -> int:
        """Number of rows to read at once where no gradient is kept."""
        longest = max(1, int(self.sequences.lengths.max(initial=1)))
        if self.are_states:
            return int(np.clip(_CHUNK_STATES // longest, 1, CHUNK_ROWS))
        values = self.sequences.values
        per_input = values.itemsize * int(np.prod(values.shape[1:]))
        return int(np.clip(_CHUNK_BYTES // (per_input * longest), 1, CHUNK_ROWS))

    @property
    def present_rows(self) -> np.ndarray:
        """Numbers of the rows that are there."""
        return np.arange(len(self)) if self.present_N is None else np.flatnonzero(self.present_N)

    @property
    def labelled_rows(self) -> np.ndarray:
        """Numbers of the rows that are there and have a label."""
        rows_N = self.present_rows
        return rows_N[has_label(self.labels_N[rows_N])]

    def batch(self, rows: np.ndarray, layers: list[int], device: str = "cpu") -> tuple[SequenceBatch, Tensor]:
        """Copy the given rows and their labels (B,). `layers` says nothing here: encoder, or file, has the one."""
        some = self.sequences.gather(rows)
        batch = SequenceBatch(torch.from_numpy(some.values).to(device), some.lengths, some.spans)
        return batch, torch.from_numpy(self.labels_N[rows]).to(device)

    def chunks(self, layers: list[int], device: str = "cpu") -> Iterator[Chunk]:
        """Copy all rows in order, a limited number at a time."""
        for start in range(0, len(self), self.chunk_rows):
            rows = np.arange(start, min(start + self.chunk_rows, len(self)))
            present = None if self.present_N is None else torch.tensor(self.present_N[rows], device=device)
            yield self.batch(rows, layers, device)[0], present


Part = SplitArrays | SequenceSplit  # of one modality


@dataclass(frozen=True)
class FusedSplit:
    """One split of several modalities, or of one in dialogues; row i is one utterance. Used as `SplitArrays` is.

    Args:
        parts: modality -> its arrays, in the order text, audio, video.
        dropped: modalities that are read as absent, to see what the others can do without them.
        dialogue_N: number of each row's dialogue, never decreasing; None: rows are read one by one. A dialogue is never
            cut, and its rows of which nothing is there stay in it.
        speaker_N: number of who speaks each row, equal for rows of one speaker of a dialogue; None: it is not read.
    """

    parts: Mapping[str, Part]
    dropped: frozenset[str] = frozenset()
    dialogue_N: np.ndarray | None = None
    speaker_N: np.ndarray | None = None

    def __post_init__(self) -> None:
        if list(self.parts) != [name for name in ("text", "audio", "video") if name in self.parts]:
            raise ValueError(f"modalities in the order text, audio, video expected, got {', '.join(self.parts)}")
        first, *others = self.parts.values()
        if any(other.ids != first.ids or not same_labels(other.labels_N, first.labels_N) for other in others):
            raise ValueError(f"{', '.join(self.parts)} are not of the same utterances")
        if self.dialogue_N is not None and (len(self.dialogue_N) != len(self) or (np.diff(self.dialogue_N) < 0).any()):
            raise ValueError("one dialogue number for each row expected, dialogue after dialogue")
        if self.speaker_N is not None and len(self.speaker_N) != len(self):
            raise ValueError("one number of a speaker for each row expected")

    @property
    def ids(self) -> tuple[str, ...]:
        return next(iter(self.parts.values())).ids

    @property
    def labels_N(self) -> np.ndarray:
        return next(iter(self.parts.values())).labels_N

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def width(self) -> dict[str, int]:
        return {modality: part.width for modality, part in self.parts.items()}

    @property
    def chunk_rows(self) -> int:
        """Number of rows to read at once where no gradient is kept."""
        return min(part.chunk_rows for part in self.parts.values())

    @property
    def present_rows(self) -> np.ndarray:
        """Numbers of the rows that have a label and of which at least one modality is there."""
        return np.flatnonzero(self.present(np.arange(len(self))).any(axis=1) & has_label(self.labels_N))

    def batch(self, rows: np.ndarray, layers: dict[str, list[int]], device: str = "cpu") -> tuple[FusedBatch, Tensor]:
        """Copy the given rows and their labels (B,)."""
        gathered = {name: part.batch(rows, layers[name], device) for name, part in self.parts.items()}
        labels = next(iter(gathered.values()))[1]
        given: dict[str, Any] = {name: x for name, (x, _) in gathered.items()}
        given |= {
            name: x.emptied() for name, x in given.items() if name in self.dropped and isinstance(x, SequenceBatch)
        }
        present = torch.from_numpy(self.present(rows)).to(device)
        dialogue, speaker = (
            None if numbers_N is None else torch.from_numpy(numbers_N[rows]).to(device)
            for numbers_N in (self.dialogue_N, self.speaker_N)
        )
        return FusedBatch(given, present, dialogue, speaker_B=speaker), labels

    def only(self, modality: str) -> FusedSplit:
        """The same rows of one modality alone."""
        return replace(self, parts={modality: self.parts[modality]}, dropped=self.dropped & {modality})

    def chunks(self, layers: dict[str, list[int]], device: str = "cpu") -> Iterator[tuple[FusedBatch, None]]:
        """Copy all rows in order, a limited number at a time; a dialogue is in the chunk it begins in."""
        rows_N = np.arange(len(self))
        firsts = rows_N if self.dialogue_N is None else np.unique(self.dialogue_N, return_index=True)[1]
        starts = firsts[np.unique(firsts // self.chunk_rows, return_index=True)[1]]
        for rows in np.split(rows_N, starts[1:]):
            yield self.batch(rows, layers, device)[0], None

    def present(self, rows: np.ndarray) -> np.ndarray:
        """Say which modalities of the given rows are there, and not dropped: bool (B, M)."""
        columns = [
            np.zeros(len(rows), dtype=bool)
            if name in self.dropped
            else np.ones(len(rows), dtype=bool)
            if part.present_N is None
            else part.present_N[rows]
            for name, part in self.parts.items()
        ]
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class TeacherOutputs:
    """Hold a teacher's outputs for one split, row by row: class scores and its h, float32.

    Args:
        present_N: bool, the rows that the teacher itself could read; None: all.
        states_NSPK: hidden states of its encoder's stages, averaged over parts of time; None where none are compared.
        staged_N: bool, the rows that have such states; None: all.
    """

    logits_NC: np.ndarray
    h_NK: np.ndarray
    present_N: np.ndarray | None = None
    states_NSPK: np.ndarray | None = None
    staged_N: np.ndarray | None = None


Split = SplitArrays | FusedSplit | SequenceSplit
Layers = Any  # hidden states that are read: list[int], or of several modalities dict[str, list[int]]


@dataclass(frozen=True)
class TrainingData:
    """Hold train and dev. A test split has no place here, on purpose.

    Args:
        class_names: C names in the order of the labels: of classes, numbers or labels.
        label_text_CLD: the label words through the same encoder (EACL anchors, APCL initialisation).
        teacher: "train" and "dev" -> outputs of the teacher; {} without one.
        base: modality -> weights of its backbone, where that is tuned, shared by all trials; without them a trial reads
            its own from the folder.
    """

    train: Split
    dev: Split
    class_names: tuple[str, ...]
    label_text_CLD: np.ndarray | None = None
    teacher: Mapping[str, TeacherOutputs] = field(default_factory=dict)
    base: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)


def only_labelled(split: Split) -> Split:
    """Mask the rows of a training split that have no label; a model of dialogues still reads them, as context."""
    if has_label(split.labels_N).all():
        return split
    if isinstance(split, FusedSplit):
        if split.dialogue_N is not None:
            return split
        return replace(split, parts={name: _only_labelled(part) for name, part in split.parts.items()})
    return _only_labelled(split)


def _only_labelled(part: Part) -> Part:
    labelled_N = has_label(part.labels_N)
    present_N = labelled_N if part.present_N is None else part.present_N & labelled_N
    return replace(part, labels_N=blank_unlabelled(part.labels_N), present_N=present_N)


def part_of(split: Split, modality: str) -> Part:
    """Return the arrays of one modality."""
    return split.parts[modality] if isinstance(split, FusedSplit) else split
