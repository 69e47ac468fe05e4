"""Features that sit once in the Ray object store and are mapped, never copied, by every worker.

Arrays stay numpy: Ray hands them out read-only, whereas a torch view of the same memory would let one worker's write
change every other worker's data. Batches are gathered (copied) row by row in `SplitArrays.batch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray

from mer.config import TrialConfig
from mer.features import load_features, select_layers
from mer.training import SplitArrays, TrainingData


@dataclass(frozen=True)
class SharedTable:
    """One split's features as they travel: plain arrays and names."""

    ids: tuple[str, ...]
    features_NLD: np.ndarray
    labels: dict[str, np.ndarray]
    label_names: dict[str, tuple[str, ...]]
    label_text: dict[str, np.ndarray]
    present_N: np.ndarray | None  # None: every row is there

    def split(self, task: str) -> SplitArrays:
        """The arrays of one label task."""
        return SplitArrays(self.ids, self.features_NLD, self.labels[task], self.present_N)


class SharedFeatures:
    """Handles to tables in the object store, by the path of the cache file they came from. Small enough to pickle."""

    def __init__(self, handles: Mapping[str, ray.ObjectRef]) -> None:
        self._handles = dict(handles)

    @classmethod
    def put(cls, paths: list[Path]) -> SharedFeatures:
        """Load each cache file once and put it into the object store."""
        return cls({str(path): ray.put(read_table(path)) for path in dict.fromkeys(paths)})

    def training_data(self, config: TrialConfig, train: str, dev: str) -> tuple[TrainingData, list[int]]:
        """Train and dev of a configuration's only encoder, and the layers it reads. Nothing is copied."""
        train_table, dev_table = ray.get([self._handles[train], self._handles[dev]])
        return as_training_data(config, train_table, dev_table)


def read_table(path: Path) -> SharedTable:
    table = load_features(path)
    present = None if table.present.all() else table.present
    return SharedTable(table.ids, table.features, table.labels, table.label_names, table.label_text, present)


def as_training_data(config: TrialConfig, train: SharedTable, dev: SharedTable) -> tuple[TrainingData, list[int]]:
    """What a TrainingRun of this configuration reads. Raises: MerError when the layers are not there."""
    modality, encoder = config.encoders.only
    task = config.data.label
    layers = select_layers(encoder.layers, train.features_NLD.shape[1], f"encoders.{modality}.layers")
    data = TrainingData(
        train=train.split(task),
        dev=dev.split(task),
        class_names=train.label_names[task],
        label_text_CLD=train.label_text.get(task),
    )
    return data, layers
