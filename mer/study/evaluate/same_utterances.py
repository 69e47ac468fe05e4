"""Compare a configuration on another version of its own corpus (what was heard, for text) with itself on its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mer.config import DataConfig
from mer.config.metrics import MAIN
from mer.data.registry import unit_of
from mer.statistics import Scored
from mer.study.evaluate.compare import ScoredSeeds, compare
from mer.study.evaluate.corpus_scores import Mapped
from mer.study.evaluate.seeds import SeedResult
from mer.study.folder.recorded import read_predictions
from mer.study.paths import ARTIFACTS, DEV_PREDICTIONS, TEST_PREDICTIONS
from mer.training import Split, scores_of

_RECORDED = {"dev": Path(ARTIFACTS) / DEV_PREDICTIONS, "test": Path(TEST_PREDICTIONS)}


def against_own(
    results: Sequence[SeedResult],
    logits: Sequence[np.ndarray],
    target: Split,
    mapped: Mapped,
    data: DataConfig,
    split: str,
    names: tuple[str, str],
) -> dict[str, Any] | None:
    """Compare recorded scores of the own corpus with those on another, where both hold the same labelled utterances.

    Nothing of the own corpus is read but the predictions that its evaluation has written.

    Args:
        results, logits: of every seed: its own, and its outputs (N, C) on the other corpus.
        target: the split of the other corpus that was scored.
        data: how the other corpus is read; its task is the model's.
        names: of the own corpus, and of the other.
    Returns: as `compare` does for one other; None where they are other utterances, labels or classes, or where the own
        split is not scored.
    """
    places = [result.folder / _RECORDED[split] for result in results] if split in _RECORDED else []
    if not places or not all(place.exists() for place in places) or mapped.unmapped or mapped.unused:
        return None
    truth = mapped.truth(target.labels_N)  # everything is shared, so columns are the model's outputs
    own = [read_predictions(place) for place in places]
    if any(ids != tuple(target.ids) or not _equal(known, truth) for ids, known, _ in own):
        return None
    metric, unit, how = MAIN[data.task], unit_of(data, split), Scored(data.task, data.range)

    def scored(name: str, found: Sequence[np.ndarray]) -> ScoredSeeds:
        by_seed = {
            result.seed: scores_of(data, outputs, truth, mapped.outputs).as_metrics("on")[f"on_{metric}"]
            for result, outputs in zip(results, found, strict=True)
        }
        return ScoredSeeds(f"the model on {name}", name, by_seed, list(found), tuple(target.ids), truth, unit, how)

    first, other = scored(names[0], [logits_NC for _, _, logits_NC in own]), scored(names[1], logits)
    return compare(first, [other])[0]


def _equal(recorded: np.ndarray, truth: np.ndarray) -> bool:
    """Say whether labels are those of a file of predictions, which has numbers as float32."""
    if recorded.shape != truth.shape:
        return False
    return bool(np.allclose(recorded, truth, rtol=1e-5, atol=1e-6, equal_nan=True))
