"""Train all folds of one or several trials as one program.

Folds have rows of their own, and epochs of other lengths. While every member has a whole batch, all step together; what
is left of an epoch, a fold steps in the pack of its own members, which lies in the memory of the whole. So each step of
a member has as many rows as it has alone, and its digits do not depend on the other folds.

Shape suffixes: P members of all folds, K members of one, B batch rows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mer.config import EACLConfig, SPCLConfig, TrialConfig
from mer.training.data import FusedBatch
from mer.training.draws import stretch_of
from mer.training.packed.run import Ending, Pack
from mer.training.packed.size import CPU_BYTES, MOST_ON_CPU, MOST_ON_GPU, trained_bytes
from mer.training.packed.stepped import Stepped
from mer.training.run import TrainingRun


def share_a_program(folds: Sequence[Sequence[TrainingRun]]) -> bool:
    """Tell whether folds are trained together: as many models as a worker trains at once, without state of the rows.

    SPCL's pools and EACL's label words are made of a fold's own rows and read at every step.

    Args: folds: the runs of each fold.
    """
    first, members = folds[0][0], sum(map(len, folds))
    if len(folds) < 2 or not _can(first.config):
        return False
    most = MOST_ON_GPU if first.device != "cpu" else min(MOST_ON_CPU, CPU_BYTES // trained_bytes(first.model))
    return members <= most


def _can(config: TrialConfig) -> bool:
    return config.distill is None and not isinstance(config.loss.contrastive, SPCLConfig | EACLConfig)


class FoldsPack(Stepped):
    """Step the folds of several trials together.

    Args: folds: the runs of each fold, one of each trial, in the order of the trials.
    """

    def __init__(self, folds: Sequence[Sequence[TrainingRun]]) -> None:
        self.folds = [Pack(runs) for runs in folds]
        self.join_weights([run for runs in folds for run in runs])
        for fold in self.folds:
            fold.follow()
        self.train = _RowsOfFolds([fold.train for fold in self.folds])

    def train_epoch(self) -> list[list[Ending]]:
        """Train the next epoch of each fold of each trial, and score its dev; returns by fold as `Pack.train_epoch`."""
        started = time.perf_counter()
        begun = [fold.begin() for fold in self.folds]
        common = _whole_steps([batches for batches, _ in begun])
        told: list[list[dict[str, Tensor]]] = [[] for _ in self.folds]
        self.draws.begin([stretch_of(run.config.seed, run.epoch) for run in self.runs], max(1, common))
        self.optimizer.follow()
        for step in range(common):
            rows_PB = torch.cat([batches[step] for batches, _ in begun])
            parts = self.step(rows_PB, torch.cat([rates[step] for _, rates in begun]), step)
            for of_fold, own in zip(told, self._by_fold(parts), strict=True):
                of_fold.append(own)
        self.optimizer.settle()
        for fold, (batches, rates), of_fold in zip(self.folds, begun, told, strict=True):
            fold.optimizer.follow()
            of_fold += [fold.step(batches[step], rates[step], step) for step in range(common, len(batches))]
            fold.optimizer.settle()
        each = (time.perf_counter() - started) / len(self.folds)
        return [
            fold.scored(of_fold, rates[-1].tolist(), time.perf_counter() - each)
            for fold, (_, rates), of_fold in zip(self.folds, begun, told, strict=True)
        ]

    def _by_fold(self, parts: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """Divide what a step returned, (P,) each, among the folds."""
        members = len(self.folds[0].runs)
        split = {name: values_P.split(members) for name, values_P in parts.items()}
        return [{name: values[k] for name, values in split.items()} for k in range(len(self.folds))]


def _whole_steps(batches: Sequence[Sequence[Tensor]]) -> int:
    """Count the steps, from the first on, in which all folds have as many rows."""
    steps = 0
    for rows in zip(*batches, strict=False):
        if len({rows_KB.shape for rows_KB in rows}) > 1:
            break
        steps += 1
    return steps


class _RowsOfFolds:
    """Give the rows of a batch, the members of each fold from its own.

    Args: parts: rows of each fold.
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = list(parts)

    def batch(self, rows_PB: Tensor) -> tuple[Any, Tensor]:
        """Gather features and labels of each member's rows."""
        found = [part.batch(own) for part, own in zip(self.parts, rows_PB.chunk(len(self.parts)), strict=True)]
        labels = torch.cat([y for _, y in found])
        if not isinstance(found[0][0], FusedBatch):
            return torch.cat([x for x, _ in found]), labels
        given = [x for x, _ in found]
        parts = {modality: torch.cat([x.parts[modality] for x in given]) for modality in given[0].parts}
        return FusedBatch(parts, torch.cat([x.present_BM for x in given])), labels
