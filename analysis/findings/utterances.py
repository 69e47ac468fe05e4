"""Look at dev utterance by utterance: calibration, a map of the class scores, the dialogues that are hardest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.stores.predictions import Predictions

_BINS = 15  # as `dev_ece` has them


@dataclass(frozen=True)
class Bin:
    """Utterances that are answered about as surely: their mean probability, and the share of right answers."""

    confidence: float
    accuracy: float
    count: int


def calibration(predictions: Predictions) -> tuple[list[Bin], float]:
    """Return the bins that hold utterances, and the expected calibration error (Guo et al. 2017)."""
    confidence_N = predictions.probabilities_NC.max(axis=1)
    right_N = predictions.right_N
    place_N = np.minimum((confidence_N * _BINS).astype(int), _BINS - 1)
    bins = []
    for place in range(_BINS):
        inside = place_N == place
        if inside.any():
            bins.append(Bin(float(confidence_N[inside].mean()), float(right_N[inside].mean()), int(inside.sum())))
    error = sum(one.count * abs(one.confidence - one.accuracy) for one in bins) / len(right_N)
    return bins, float(error)


def flat_map(predictions: Predictions) -> np.ndarray:
    """Lay the utterances out on a plane, (N, 2): the two main directions of their log-probabilities (PCA)."""
    logs = np.log(np.maximum(predictions.probabilities_NC, 1e-6))
    centred = logs - logs.mean(axis=0)
    left, strength, _ = np.linalg.svd(centred, full_matrices=False)
    flat = (left * strength)[:, :2]
    return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))


@dataclass(frozen=True)
class Hard:
    """One dialogue: its utterances, how many trials were wrong on them, and the mistakes of the best trial."""

    dialogue: str
    utterances: int
    wrong: int
    share_wrong: float
    mistakes: str


def hardest_dialogues(best: Predictions, others: Sequence[Predictions], most: int = 12) -> list[Hard]:
    """List the dialogues with the largest share of mistakes, over the best trial and others on the same utterances.

    Short dialogues are judged with care: two utterances are added that are right as often as the whole of dev.
    """
    same = [best, *(one for one in others if one.ids == best.ids and one.class_names == best.class_names)]
    wrong_N = np.mean([~one.right_N for one in same], axis=0)
    rows: dict[str, list[int]] = {}
    for index, dialogue in enumerate(best.dialogues):
        rows.setdefault(dialogue, []).append(index)
    usual = float(wrong_N.mean())
    found = []
    for dialogue, inside in rows.items():
        mistaken = [index for index in inside if not best.right_N[index]]
        names = best.class_names
        words = [f"{names[best.true_N[i]]} as {names[best.predicted_N[i]]}" for i in mistaken]
        counts = {word: words.count(word) for word in words}
        said = ", ".join(
            f"{word}{f' x {n}' if n > 1 else ''}" for word, n in sorted(counts.items(), key=lambda p: -p[1])
        )
        share = (float(wrong_N[inside].sum()) + 2 * usual) / (len(inside) + 2)
        found.append((share, Hard(dialogue, len(inside), len(mistaken), float(wrong_N[inside].mean()), said)))
    found.sort(key=lambda pair: (-pair[0], pair[1].dialogue))
    return [hard for _, hard in found[:most]]
