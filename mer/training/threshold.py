"""The decision threshold of two classes, chosen on dev.

A model of two classes answers with the more probable one. Where one class is rare, or counts more, another threshold
may score better. It is a number that is fitted to dev, as a weight is: dev's score at it promises too much, and test
may only be scored at a threshold that dev chose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mer.errors import MerError
from mer.training.metrics import Scores

METRICS = ("macro_f1", "weighted_f1", "accuracy", "unweighted_accuracy")
_MOST = 200  # places that are tried; between more of them dev cannot tell


@dataclass(frozen=True, slots=True)
class Threshold:
    """Answer the second class where its probability is `at_least`, else the first.

    Args:
        name: of the second class.
        at_least: probability in (0, 1); 0.5 is the more probable class.
        metric: of METRICS, which dev was searched for.
        before, after: that metric on dev at 0.5 and at the threshold, in [0, 1].
    """

    name: str
    at_least: float
    metric: str
    before: float
    after: float

    def shifted(self, logits_NC: np.ndarray) -> np.ndarray:
        """Shift class scores (N, 2) so that the larger one is the answer at this threshold."""
        moved = np.array(logits_NC, dtype=np.float64)
        moved[:, 1] -= math.log(self.at_least / (1 - self.at_least))
        return moved


def choose_threshold(dev: Scores, metric: str) -> Threshold:
    """Find the threshold at which dev scores best; of equal ones that nearest to 0.5.

    Raises: MerError if there are not two classes, or for a metric that does not depend on a threshold, or that one
        class alone would win.
    """
    if len(dev.class_names) != 2:
        raise MerError(
            "--threshold", f"the model has {len(dev.class_names)} classes", allowed="two", then="leave --threshold out"
        )
    if metric not in METRICS:
        raise MerError("--threshold", f"no threshold is chosen by {metric!r}", allowed=", ".join(METRICS))
    margins_N = dev.logits_NC[:, 1].astype(np.float64) - dev.logits_NC[:, 0].astype(np.float64)
    places = np.unique(margins_N)
    middles = (places[1:] + places[:-1]) / 2
    if len(middles) > _MOST:
        middles = np.quantile(middles, np.linspace(0, 1, _MOST))
    tried = sorted({0.0, *middles.tolist()}, key=abs)

    def score(place: float) -> float:
        answers_N = (margins_N >= place) if place else (margins_N > 0)  # at 0.5 the first class wins a tie, as argmax
        return float(getattr(Scores(np.eye(2)[answers_N.astype(int)], dev.labels_N, dev.class_names), metric))

    found = [score(place) for place in tried]
    best = int(np.argmax(found))
    chance = 1 / (1 + math.exp(-max(-700.0, min(700.0, tried[best]))))
    at_least = min(max(chance, 1e-6), 1 - 1e-6)
    return Threshold(dev.class_names[1], at_least, metric, found[0], found[best])
