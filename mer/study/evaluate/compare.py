"""Compare two evaluations over the same seeds and utterances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from mer.statistics import holm, paired_by_dialogue, paired_by_seed, verdict

_PRIMARY = "weighted_f1"


@dataclass(frozen=True)
class Judged:
    """One configuration's seeds on one split, as a comparison reads them.

    Args:
        title: tells it from the others in comparisons.
        by_seed: seed -> weighted-F1.
        logits: class scores (N, C) of every seed.
        ids: of the utterances; they carry their dialogue.
    """

    title: str
    export: str
    by_seed: dict[int, float]
    logits: list[np.ndarray]
    ids: tuple[str, ...]
    labels_N: np.ndarray

    @property
    def dialogues(self) -> list[str]:
        return [utterance.rsplit("_", 1)[0] for utterance in self.ids]


def compare(first: Judged, others: Sequence[Judged]) -> list[dict[str, Any]]:
    """`first` against each other one on weighted-F1, paired by seed and by dialogue, p adjusted by Holm."""
    pairs = [
        (
            paired_by_seed(first.by_seed, other.by_seed),
            paired_by_dialogue(_PRIMARY, first.logits, other.logits, first.labels_N, first.dialogues),
        )
        for other in others
    ]
    adjusted = [holm([pair[view].p for pair in pairs]) for view in (0, 1)]
    told = []
    for index, other in enumerate(others):
        seeds = replace(pairs[index][0], p_adjusted=adjusted[0][index])
        dialogues = replace(pairs[index][1], p_adjusted=adjusted[1][index])
        sentence = verdict(first.title, other.title, seeds, dialogues)
        told.append(
            {"against": other.title, "seeds": asdict(seeds), "dialogues": asdict(dialogues), "verdict": sentence}
        )
    return told
