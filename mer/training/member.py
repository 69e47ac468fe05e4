"""Record what one trial has done so far: its rows, its best epochs, its counters, and the checkpoint it goes on from.

A run computes; the member remembers. A program that trains many trials at once holds one member for each, so that its
checkpoints are those of a trial that trained alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mer.checkpoints.tensors import clone, prefixed, under
from mer.config import TrialConfig, student_config
from mer.errors import MerError
from mer.files import sha256_json

Row = dict[str, float]
_DEV_LOGITS = "dev_logits"


@dataclass(frozen=True)
class Best:
    """Hold a model at the epoch that dev chose.

    Args:
        config: trains this model by itself.
        row: that epoch's numbers.
        tensors: its weights by name, and `dev_logits` (N, C), the dev scores they gave.
    """

    config: TrialConfig
    row: Row
    tensors: dict[str, Tensor]

    @property
    def weights(self) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in self.tensors.items() if name != _DEV_LOGITS}

    @property
    def logits_NC(self) -> np.ndarray:
        return self.tensors[_DEV_LOGITS].numpy()


class Member:
    """Remember one trial's rows, best epochs and counters.

    Attributes:
        epoch, step_count: epochs and steps that are done.
        history: a row per epoch.
        bests: "" -> the whole model at its best epoch; of merged students also modality -> that student at its own.
    """

    def __init__(self, config: TrialConfig) -> None:
        self.config = config
        self.epoch = 0
        self.step_count = 0
        self.history: list[Row] = []
        self.bests: dict[str, Best] = {}

    @property
    def best(self) -> Best | None:
        return self.bests.get("")

    def add(self, row: Row) -> None:
        """Count an epoch."""
        self.history.append(row)
        self.epoch += 1

    def improves(self, row: Row, student: str = "") -> bool:
        """Say whether the row is better than the best so far, by the metric that the configuration selects on."""
        metric, sign = self.config.training.metric, 1.0 if self.config.training.mode == "max" else -1.0
        best = self.bests.get(student)
        return best is None or sign * row[metric] > sign * best.row[metric]

    def keep(self, row: Row, weights: Mapping[str, Tensor], logits_NC: np.ndarray, student: str = "") -> None:
        """Keep copies of the weights as the best so far, with the dev scores (N, C) that they gave."""
        config = student_config(self.config, student) if student else self.config
        tensors = clone(dict(weights)) | {_DEV_LOGITS: torch.tensor(logits_NC)}
        self.bests[student] = Best(config, row, tensors)

    def is_done(self, patience_from: int = 0) -> bool:
        """Say whether the last epoch is over, or `patience` epochs without a dev gain after epoch `patience_from`."""
        if self.epoch >= self.config.training.epochs:
            return True
        patience = self.config.training.patience
        return bool(patience and self.best and self.epoch - max(patience_from, self.best.row["epoch"]) >= patience)

    # -- checkpoints -------------------------------------------------------------------------------------------

    @property
    def config_sha256(self) -> str:
        return identity_of(self.config)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors of the best epochs, and a JSON-able card with the rest."""
        tensors: dict[str, Tensor] = {}
        for student, best in self.bests.items():
            tensors |= prefixed(_prefix(student), best.tensors)
        card: dict[str, Any] = {
            "epoch": self.epoch,
            "step_count": self.step_count,
            "history": list(self.history),
            "best_row": self.best.row if self.best else None,
            "config_sha256": self.config_sha256,
        }
        students = {student: best.row for student, best in self.bests.items() if student}
        return tensors, card | ({"student_rows": students} if students else {})

    def load_state(self, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
        """Go on from what `state` gave. Raises: MerError when it belongs to another configuration."""
        if card["config_sha256"] != self.config_sha256:
            raise MerError("checkpoint", "it was written by another configuration", then="start with --fresh")
        self.epoch, self.step_count, self.history = card["epoch"], card["step_count"], list(card["history"])
        rows = ({"": card["best_row"]} if card["best_row"] else {}) | card.get("student_rows", {})
        self.bests = {
            student: Best(
                student_config(self.config, student) if student else self.config,
                row,
                clone(under(_prefix(student), dict(tensors))),
            )
            for student, row in rows.items()
        }


class HasMember:
    """Say of a run what its member remembers."""

    member: Member

    @property
    def history(self) -> list[Row]:
        """A row per epoch."""
        return self.member.history

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return self.member.epoch


def identity_of(config: TrialConfig) -> str:
    """Hash a configuration; where the data lie does not matter, what they hold is checked elsewhere."""
    return sha256_json(config.model_dump(mode="json", exclude={"data": {"root"}}))


def _prefix(student: str) -> str:
    return f"best_{student}" if student else "best"
