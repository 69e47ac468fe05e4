"""Compare two configurations over the same seeds and utterances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from mer.data.types import Unit
from mer.statistics import holm, paired_by_seed, paired_by_unit, verdict

PRIMARY = "weighted_f1"  # the metric that comparisons judge by


@dataclass(frozen=True)
class ScoredSeeds:
    """One configuration's seeds, scored on one split.

    Args:
        title: tells it from the others in comparisons.
        export: where the configuration comes from.
        by_seed: seed -> weighted-F1.
        logits: class scores (N, C) of every seed.
        ids: `Utterance.id` of each row.
        labels_N: true classes.
        unit: what of the dataset is independent.
    """

    title: str
    export: str
    by_seed: dict[int, float]
    logits: list[np.ndarray]
    ids: tuple[str, ...]
    labels_N: np.ndarray
    unit: Unit

    @property
    def unit_ids(self) -> list[str]:
        """The unit of each row."""
        return [self.unit.of(utterance_id) for utterance_id in self.ids]


def compare(first: ScoredSeeds, others: Sequence[ScoredSeeds]) -> list[dict[str, Any]]:
    """Compare `first` with each of the others on weighted-F1, paired by seed and by unit, p adjusted by Holm.

    All must be scored on the same utterances.

    Returns: for each other one `against`, `verdict`, `seeds`, and the unit's plural, e.g. `dialogues` or `actors`.
    """
    unit = first.unit.name
    pairs = [
        (
            paired_by_seed(first.by_seed, other.by_seed),
            paired_by_unit(PRIMARY, first.logits, other.logits, first.labels_N, first.unit_ids),
        )
        for other in others
    ]
    adjusted = [holm([pair[view].p for pair in pairs]) for view in (0, 1)]
    told = []
    for index, other in enumerate(others):
        seeds = replace(pairs[index][0], p_adjusted=adjusted[0][index])
        units = replace(pairs[index][1], p_adjusted=adjusted[1][index])
        sentence = verdict(first.title, other.title, seeds, units, unit=unit)
        told.append({"against": other.title, "seeds": asdict(seeds), f"{unit}s": asdict(units), "verdict": sentence})
    return told
