"""The rows of each fold, cut from tables that hold all utterances (`data.folds`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from mer.config import TrialConfig
from mer.data.folds import Folds
from mer.errors import MerError
from mer.training import Layers, TrainingData, build_run
from mer.training.folds import FoldedRun
from mer.training.packed import Run
from trainables.shared_table import SharedTable, as_training_data

Tables = Mapping[str, SharedTable]  # by modality
Take = Callable[[str, int, str, np.ndarray], SharedTable]  # modality, fold, part, rows


def take_rows(table: SharedTable, rows: np.ndarray) -> SharedTable:
    """Copy some rows of a table, as a table of its own."""
    return replace(
        table,
        ids=tuple(table.ids[row] for row in rows),
        features_NLD=table.features_NLD[rows] if table.sequences is None else table.features_NLD,
        labels={task: labels[rows] for task, labels in table.labels.items()},
        present_N=None if table.present_N is None else table.present_N[rows],
        sequences=None if table.sequences is None else table.sequences.gather(rows),
    )


def data_of_folds(
    config: TrialConfig, tables: Tables, folds: Folds, take: Take | None = None
) -> tuple[list[TrainingData], Layers]:
    """Assemble train and dev of every fold, and the layers that the configuration reads.

    Args:
        tables: of all utterances, by modality.
        take: cuts rows of a modality's table; None: a new copy each time.
    Raises: MerError when the tables are of other utterances than the folds.
    """
    refuse_other_rows(tables, folds)
    cut: Take = take or (lambda modality, fold, part, rows: take_rows(tables[modality], rows))
    found: list[TrainingData] = []
    layers: Layers = []
    for number, fold in enumerate(folds.folds):
        train, dev = (
            {modality: cut(modality, number, part, rows) for modality in tables}
            for part, rows in (("train", fold.train), ("dev", fold.dev))
        )
        data, layers = as_training_data(config, train, dev)
        found.append(data)
    return found, layers


def refuse_other_rows(tables: Tables, folds: Folds) -> None:
    """Raise MerError when tables are of other utterances than the folds."""
    for table in tables.values():
        if table.ids != folds.ids:
            raise MerError("data.folds", "the features are of other rows than the folds", then="extract them anew")


def build_trial(config: TrialConfig, train: Tables, dev: Tables, folds: Folds | None, device: str = "cpu") -> Run:
    """Build the run of a configuration, over its folds where it has some. Args: train, dev: with folds, the same."""
    if folds is None:
        return build_run(config, *as_training_data(config, train, dev), device)
    data, layers = data_of_folds(config, train, folds)
    return FoldedRun([build_run(config, one, layers, device) for one in data])
