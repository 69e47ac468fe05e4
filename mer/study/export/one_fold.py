"""Export the model of one fold: a trial over folds has a model for each, and a folder holds one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mer.checkpoints.tensors import under
from mer.data.folds import Folds
from mer.data.registry import folds_of
from mer.errors import MerError
from mer.features import FeatureTable
from mer.study.export.choose import ExportOptions
from mer.study.export.trained_weights import Trained
from mer.training.folds import fold_prefix


@dataclass(frozen=True)
class ChosenFold:
    """One fold of a trial. Args: number: from 1."""

    folds: Folds
    number: int

    @property
    def provenance(self) -> dict[str, Any]:
        """Say which fold it is, for provenance and card."""
        fold = self.folds.folds[self.number - 1]
        sizes = {"train": len(fold.train), "dev": len(fold.dev), "unseen": len(fold.test)}
        told = {"number": self.number, "of": len(self.folds.folds), "by": self.folds.by, "test": fold.name}
        return told | sizes


def choose_fold(trained: Trained, options: ExportOptions) -> ChosenFold | None:
    """Return the fold that is exported; None for a trial without folds. Raises: MerError for one that is not there."""
    data = trained.config.data
    if data.folds is None:
        if options.fold is not None:
            raise MerError("--fold", "this trial has no folds", then="leave it out")
        return None
    for option, asked in (("--threshold", options.threshold), ("--calibrate", options.calibrate)):
        if asked:
            raise MerError(option, "dev rows of one fold are test rows of another", then=f"leave {option} out")
    folds = folds_of(data if options.data_root is None else data.model_copy(update={"root": options.data_root}))
    assert folds is not None
    number = options.fold or 1
    if number > len(folds.folds):
        raise MerError("--fold", f"there is no fold {number}", allowed=f"1 to {len(folds.folds)}")
    return ChosenFold(folds, number)


def of_one_fold(
    trained: Trained, tables: Mapping[str, FeatureTable], chosen: ChosenFold
) -> tuple[Trained, dict[str, FeatureTable]]:
    """Return the model of a fold as a trial of its own, and the rows of its dev."""
    parts = chosen.folds.folds
    start = sum(len(fold.dev) for fold in parts[: chosen.number - 1])
    rows = parts[chosen.number - 1].dev
    tensors = under(fold_prefix(chosen.number), trained.tensors)
    tensors["dev_logits"] = trained.tensors["dev_logits"][start : start + len(rows)].clone()
    return replace(trained, tensors=tensors), {name: _some(table, rows) for name, table in tables.items()}


def _some(table: FeatureTable, rows: np.ndarray) -> FeatureTable:
    return replace(
        table,
        features=table.features[rows],
        ids=tuple(table.ids[row] for row in rows),
        labels={task: labels[rows] for task, labels in table.labels.items()},
        present=table.present[rows],
        logits=None if table.logits is None else table.logits[rows],
        sequences=None if table.sequences is None else table.sequences.gather(rows),
    )


def fold_words(told: Mapping[str, Any]) -> str:
    """Say on the card which fold the model is of."""
    return (
        f"The trial was trained over {told['of']} folds by {told['by']}. This is the model of fold {told['number']}: "
        f"{told['train']} utterances trained it, {told['dev']} chose its epoch, and it has not seen the "
        f"{told['unseen']} of {told['test']}. The metrics below are means over the folds; classes and confusion are "
        "this fold's."
    )
