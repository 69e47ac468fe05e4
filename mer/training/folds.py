"""Train one configuration on every fold of its data, as one trial.

Its row of an epoch has the means over the folds, so that the epoch, and among trials the configuration, is chosen by
the mean. All folds stop at the same epoch: the one whose mean is best. Each fold is a TrainingRun with its own rows,
seeded alike; beside other trials, it is a member of packs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from mer.checkpoints.tensors import prefixed, under
from mer.config import TrialConfig
from mer.errors import TrialFailed
from mer.training.member import Best, HasMember, Member, Row
from mer.training.run import TrainingRun

_LATEST = ("epoch", "timestamp_ms")  # of a row: the last fold's, where all others are means
_SUMMED = ("seconds",)
_BEST, _DEV_LOGITS = "best", "dev_logits"


class PartMember(Member):
    """Remember one fold. Whether its last epoch is the best one, all folds decide together."""

    def __init__(self, config: TrialConfig) -> None:
        super().__init__(config)
        self.latest: Best | None = None

    def improves(self, row: Row, student: str = "") -> bool:
        return True

    def keep(self, row: Row, weights: Mapping[str, Tensor], logits_NC: np.ndarray, student: str = "") -> None:
        before = self.bests
        self.bests = {}
        super().keep(row, weights, logits_NC)
        self.latest, self.bests = self.bests[""], before

    def promote(self) -> None:
        """Let the last epoch be the best one."""
        assert self.latest is not None
        self.bests = {"": self.latest}


class FoldedRun(HasMember):
    """The run of one trial over several folds; used as a TrainingRun is.

    Args: parts: one run for each fold, of one configuration, nothing trained yet.
    """

    def __init__(self, parts: Sequence[TrainingRun]) -> None:
        self.parts, self.config, self.data = list(parts), parts[0].config, parts[0].data
        self.member = Member(self.config)
        for part in self.parts:
            part.member = PartMember(self.config)

    @property
    def finished(self) -> bool:
        """True at the last epoch, or after `patience` epochs without a gain of the mean."""
        return self.member.is_done(self.parts[0].patience_from)

    def train_epoch(self) -> Row:
        """Train one epoch of every fold, one after another. Raises: TrialFailed, naming the fold."""
        told = []
        for number, part in enumerate(self.parts, start=1):
            try:
                told.append(part.train_epoch())
            except TrialFailed as fault:
                raise TrialFailed(f"fold {number}: {fault}") from fault
        return self.end_epoch(told)

    def end_epoch(self, rows: Sequence[Row]) -> Row:
        """Make the trial's row of what the folds' epochs gave, and keep their weights where the mean is the best."""
        row = mean_row(rows, self.config.training.metric)
        if self.member.improves(row):
            tensors: dict[str, Tensor] = {}
            for number, part in enumerate(self.parts, start=1):
                assert isinstance(part.member, PartMember)
                part.member.promote()
                tensors |= prefixed(fold_prefix(number), part.member.bests[""].weights)
            logits = [part.member.bests[""].logits_NC for part in self.parts]
            self.member.keep(row, tensors, np.concatenate(logits))
        self.member.add(row)
        return row

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Copy everything needed to go on exactly. The best weights of the folds are those of the whole."""
        tensors, card = self.member.state()
        cards = []
        for number, part in enumerate(self.parts, start=1):
            own, about = part.state()
            kept = {name: tensor for name, tensor in own.items() if not name.startswith(f"{_BEST}.")}
            tensors |= prefixed(fold_prefix(number), kept)
            cards.append(about)
        return tensors, card | {"folds": cards}

    def load_state(self, tensors: dict[str, Tensor], card: dict[str, Any]) -> None:
        """Go on from `state()`. Raises: MerError when it belongs to another configuration."""
        self.member.load_state(tensors, card)
        best = self.member.best
        start = 0
        for number, (part, about) in enumerate(zip(self.parts, card["folds"], strict=True), start=1):
            own = under(fold_prefix(number), tensors)
            if best is not None:
                stop = start + len(part.data.dev)
                own |= prefixed(_BEST, under(fold_prefix(number), best.tensors))
                own[f"{_BEST}.{_DEV_LOGITS}"] = best.tensors[_DEV_LOGITS][start:stop].clone()
                start = stop
            part.load_state(own, about)


def fold_prefix(number: int) -> str:
    """Name what belongs to a fold, counted from 1, among a trial's tensors."""
    return f"fold{number}"


def mean_row(rows: Sequence[Row], metric: str) -> Row:
    """Average the folds' rows of one epoch; what some fold does not have is left out.

    Args: metric: by which trials are judged: the row also has its value of each fold, and their spread (ddof 1).
    """
    names = [name for name in rows[0] if all(name in row for row in rows)]
    made = {name: float(np.mean([row[name] for row in rows])) for name in names}
    made |= {name: rows[-1][name] for name in _LATEST} | {name: sum(row[name] for row in rows) for name in _SUMMED}
    if len(rows) > 1:
        values = [row[metric] for row in rows]
        made |= {f"{metric}_fold_{number}": value for number, value in enumerate(values, start=1)}
        made[f"{metric}_fold_sd"] = float(np.std(values, ddof=1))
    return made
