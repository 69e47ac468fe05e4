"""Features that lie in the Ray object store once; every worker maps them without a copy.

Arrays stay numpy, which Ray hands out read-only: through a torch view of that memory, one worker could change the data
of all others. `SplitArrays.batch` copies the rows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import ray

from mer.config import EncoderConfig, TrialConfig
from mer.data.folds import Folds
from mer.features.backbone.files import BackboneKey, backbone_key, locate
from mer.training import Layers, TrainingData
from trainables.fold_data import data_of_folds, take_rows
from trainables.shared_table import SharedTable, as_training_data, read_table


class SharedFeatures:
    """Handles to the object store: to tables, by the path of their cache file, and to weights of tuned backbones.

    It is small enough to be sent to every worker.
    """

    def __init__(
        self,
        handles: Mapping[str, ray.ObjectRef],
        bases: Mapping[BackboneKey, ray.ObjectRef] | None = None,
        folds: Folds | None = None,
    ) -> None:
        self._handles, self._bases, self._folds = dict(handles), dict(bases or {}), folds
        self._mapped: dict[str, SharedTable] = {}  # in this process, until `let_go`
        self._taken: dict[tuple[str, int, str], SharedTable] = {}

    @classmethod
    def put(cls, paths: list[Path], tuned: Iterable[EncoderConfig] = (), folds: Folds | None = None) -> SharedFeatures:
        """Put each cache file and each tuned backbone into the object store once.

        Args:
            tuned: encoders that trials train; a backbone's weights are stored from the lowest layer that one needs.
            folds: of the data, where trials train all of them.
        """
        lowest: dict[BackboneKey, EncoderConfig] = {}
        for encoder in sorted(tuned, key=lambda one: -1 if one.first_tuned is None else one.first_tuned):
            lowest.setdefault(backbone_key(encoder), encoder)
        bases = {name: ray.put(_load_base(encoder)) for name, encoder in lowest.items()}
        return cls({str(path): ray.put(read_table(path)) for path in dict.fromkeys(paths)}, bases, folds)

    def training_data(self, config: TrialConfig, files: Mapping[str, Mapping[str, str]]) -> tuple[TrainingData, Layers]:
        """Assemble train and dev of a configuration's encoders and teacher, and the layers it reads, without a copy.

        Trials that read the same file get the same arrays until `let_go`, so that a pack holds them once.

        Args: files: modality (or TEACHER, STAGES, SPEAKERS) -> split -> path of the cache file.
        """
        train, dev = (
            {modality: self._table(of[split]) for modality, of in files.items()} for split in ("train", "dev")
        )
        data, layers = as_training_data(config, train, dev)
        return replace(data, base=self._base(config)), layers

    def fold_data(
        self, config: TrialConfig, files: Mapping[str, Mapping[str, str]]
    ) -> tuple[list[TrainingData], Layers]:
        """Assemble the data of every fold as `training_data` does. Rows of a fold are copied once in this process."""
        assert self._folds is not None
        paths = {modality: of["train"] for modality, of in files.items()}  # of all rows, like those of every split
        tables = {modality: self._table(path) for modality, path in paths.items()}

        def take(modality: str, fold: int, part: str, rows: np.ndarray) -> SharedTable:
            key = (paths[modality], fold, part)
            if key not in self._taken:
                self._taken[key] = take_rows(tables[modality], rows)
            return self._taken[key]

        found, layers = data_of_folds(config, tables, self._folds, take)
        base = self._base(config)
        return [replace(data, base=base) for data in found], layers

    def let_go(self) -> None:
        """Forget which files were read: Ray may then drop their mapping."""
        self._mapped, self._taken = {}, {}

    def _base(self, config: TrialConfig) -> dict[str, Mapping[str, np.ndarray]]:
        return {modality: ray.get(self._bases[backbone_key(encoder)]) for modality, encoder in config.tuned.items()}

    def _table(self, path: str) -> SharedTable:
        if path not in self._mapped:
            self._mapped[path] = ray.get(self._handles[path])
        return self._mapped[path]


def _load_base(encoder: EncoderConfig) -> dict[str, np.ndarray]:
    from mer.features.partial import base_weights

    return base_weights(encoder, locate(encoder, weights=True), encoder.first_tuned)
