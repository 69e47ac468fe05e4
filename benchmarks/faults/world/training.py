"""Training of the simulated world: a run that takes no time and whose every number follows from what came before."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mer.errors import TrialFailed
from mer.study.tracking.trial_files import DevSplit
from mer.training import Row
from mer.training.member import Member
from trainables.wire import MemberTask

CLASSES = ("neutral", "joy")
DEV = DevSplit(("a", "b", "c"), np.array([0, 1, 1]))
_NONFINITE, _FAILING = 5, 7  # trials that end otherwise than well
_EPOCH_S = 1.0


class ToyRun:
    """Looks like a TrainingRun. Its weight is the sum of all it was trained on, so a lost or repeated epoch shows.

    Args:
        task: the trial.
        clock: in the shape of the module `time`.
        moment: called inside every epoch.
    """

    def __init__(self, task: MemberTask, clock: Any, moment: Callable[[], None]) -> None:
        self.config, self.number, self.clock, self.moment = task.trial_config(), task.number, clock, moment
        self.member, self.device, self.weight = Member(self.config), "cpu", _share(self._drawn)
        self.data = SimpleNamespace(class_names=CLASSES)

    @property
    def epoch(self) -> int:
        return self.member.epoch

    @property
    def history(self) -> list[Row]:
        return self.member.history

    @property
    def finished(self) -> bool:
        return self.member.is_done()

    @property
    def _drawn(self) -> str:
        return f"{self.config.optim.head_lr!r} {self.config.head.hidden} {self.config.seed}"

    def train_epoch(self) -> Row:
        """Train one epoch. Raises: TrialFailed and RuntimeError, for two trials of a study in their second."""
        self.moment()
        self.clock.sleep(_EPOCH_S)
        if self.epoch == 1 and self.number in (_NONFINITE, _FAILING):
            raise TrialFailed("the loss became nan") if self.number == _NONFINITE else RuntimeError("a made-up fault")
        self.weight = 0.5 * self.weight + _share(f"{self._drawn} {self.epoch} {self.weight!r}")
        score = self.weight / 2
        row = {"epoch": self.epoch + 1.0, "dev_weighted_f1": score, "dev_macro_f1": score / 2, "dev_accuracy": score}
        row |= {"train_loss": 1 - score, "seconds": _EPOCH_S, "timestamp_ms": float(self.clock.time_ns() // 1_000_000)}
        if self.member.improves(row):
            logits_NC = np.array([[score, 0.4], [0.3, score], [score, 0.2]], dtype=np.float32)
            self.member.keep(row, {"weight": torch.tensor([self.weight])}, logits_NC)
        self.member.add(row)
        return row

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, card = self.member.state()
        return tensors | {"weight": torch.tensor([self.weight], dtype=torch.float64)}, card

    def load_state(self, tensors: dict[str, Tensor], card: dict[str, Any]) -> None:
        self.member.load_state(tensors, card)
        self.weight = float(tensors["weight"][0])


class ToyPack:
    """Trains several runs at once."""

    def __init__(self, runs: Sequence[ToyRun]) -> None:
        self.runs = runs

    def train_epoch(self) -> list[Row | TrialFailed]:
        endings: list[Row | TrialFailed] = []
        for run in self.runs:
            try:
                endings.append(run.train_epoch())
            except TrialFailed as fault:
                endings.append(fault)
        return endings


def _share(text: str) -> float:
    """A number in [0, 1) that only this text gives."""
    return zlib.crc32(text.encode()) / 2**32
