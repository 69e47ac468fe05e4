"""The decision threshold of each label, chosen on dev.

A label is given where its probability is above one half. Rare labels are hardly ever that probable, and F1 is better
at another threshold. Thresholds are fitted to dev, as weights are: dev's scores at them promise too much, and test may
only be scored at those that dev chose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mer.training.label_scores import MultilabelScores


@dataclass(frozen=True, slots=True)
class LabelThresholds:
    """Give each label where its probability is above its own threshold.

    Args:
        above: label -> probability in (0, 1); 0.5 for a label that no row of dev has.
        before, after: macro-F1 of dev at 0.5 and at the thresholds, in [0, 1].
    """

    above: dict[str, float]
    before: float
    after: float

    def shifted(self, scores: MultilabelScores) -> MultilabelScores:
        """Return scores whose labels are those that these thresholds give."""
        return replace(scores, logits_NC=shifted(scores.logits_NC, [self.above[name] for name in scores.class_names]))


def shifted(logits_NC: np.ndarray, above: list[float]) -> np.ndarray:
    """Shift scores so that a label is given above 0. Args: above: probability in (0, 1) of each label."""
    places = np.array([math.log(chance / (1 - chance)) for chance in above])
    return np.asarray(logits_NC, dtype=np.float64) - places


def choose_label_thresholds(dev: MultilabelScores) -> LabelThresholds:
    """Find for each label the threshold at which its F1 on dev is best; of equal ones that nearest to 0.5."""
    above: dict[str, float] = {}
    for name, logits_N, labels_N, said_N in zip(
        dev.class_names, dev.logits_NC.T, dev.labels_N.T, dev.said_NC.T, strict=True
    ):
        place = _best_place(logits_N[said_N].astype(np.float64), labels_N[said_N] > 0.5)
        chance = 1 / (1 + math.exp(-max(-700.0, min(700.0, place))))
        above[name] = min(max(chance, 1e-6), 1 - 1e-6)
    chosen = LabelThresholds(above, dev.macro_f1, 0.0)
    return replace(chosen, after=chosen.shifted(dev).macro_f1)


def _best_place(logits_N: np.ndarray, true_N: np.ndarray) -> float:
    """Find the score above which giving the label has the best F1: half way between two scores, or 0."""
    if not true_N.any():
        return 0.0
    order = np.argsort(-logits_N, kind="stable")
    sorted_N, right_N = logits_N[order], np.cumsum(true_N[order])
    given_N = np.arange(1, len(order) + 1)
    ends = np.append(sorted_N[1:] < sorted_N[:-1], True)  # a threshold cannot part equal scores
    below = np.append(sorted_N[1:], sorted_N[-1] - 2.0)
    places, f1 = ((sorted_N + below) / 2)[ends], (2 * right_N / (given_N + true_N.sum()))[ends]
    at_half = logits_N > 0
    tried = [(2 * (at_half & true_N).sum() / max(1, at_half.sum() + true_N.sum()), 0.0)]
    tried += list(zip(f1.tolist(), places.tolist(), strict=True))
    most = max(score for score, _ in tried)
    return min((place for score, place in tried if score >= most - 1e-12), key=abs)
