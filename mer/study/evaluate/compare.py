"""Compare two configurations over the same seeds and utterances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from mer.config.metrics import MAIN, NO_SHARES
from mer.data.types import Unit
from mer.statistics import Scored, holm, paired_by_seed, paired_by_unit, verdict


@dataclass(frozen=True)
class ScoredSeeds:
    """One configuration's seeds, scored on one split.

    Args:
        title: tells it from the others in comparisons.
        export: where the configuration comes from.
        by_seed: seed -> the main metric of the task (`mer.config.metrics.MAIN`), by which comparisons judge.
        logits: class scores or outputs (N, C) of every seed.
        ids: `Utterance.id` of each row.
        labels_N: true classes; of numbers or several labels (N, C).
        unit: what of the dataset is independent.
    """

    title: str
    export: str
    by_seed: dict[int, float]
    logits: list[np.ndarray]
    ids: tuple[str, ...]
    labels_N: np.ndarray
    unit: Unit
    scored: Scored = field(default_factory=Scored)

    @property
    def main(self) -> str:
        """The metric that comparisons judge by."""
        return MAIN[self.scored.task]

    @property
    def unit_ids(self) -> list[str]:
        """The unit of each row."""
        return [self.unit.of(utterance_id) for utterance_id in self.ids]


def compare(first: ScoredSeeds, others: Sequence[ScoredSeeds]) -> list[dict[str, Any]]:
    """Compare `first` with each of the others on the main metric, paired by seed and by unit, p adjusted by Holm.

    All must be scored on the same utterances.

    Returns: for each other one `against`, `verdict`, `seeds`, and the unit's plural, e.g. `dialogues` or `actors`.
    """
    unit = first.unit.name
    pairs = [
        (
            paired_by_seed(first.by_seed, other.by_seed),
            paired_by_unit(first.main, first.logits, other.logits, first.labels_N, first.unit_ids, scored=first.scored),
        )
        for other in others
    ]
    adjusted = [holm([pair[view].p for pair in pairs]) for view in (0, 1)]
    told = []
    for index, other in enumerate(others):
        seeds = replace(pairs[index][0], p_adjusted=adjusted[0][index])
        units = replace(pairs[index][1], p_adjusted=adjusted[1][index])
        in_percent = not NO_SHARES.fullmatch(first.main)
        sentence = verdict(first.title, other.title, seeds, units, unit=unit, in_percent=in_percent)
        told.append({"against": other.title, "seeds": asdict(seeds), f"{unit}s": asdict(units), "verdict": sentence})
    return told
