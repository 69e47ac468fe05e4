"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599): probabilities as sure as dev shows them to be right.

One number, fitted to dev by its negative log-likelihood, divides the class scores. The order of the classes stays, and
with it every answer. Dev's likelihood at it promises too much, as that of any fitted number: what it is worth is said
by test, which is only ever scored at the temperature of dev.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp, log

import numpy as np

from mer.agreement import ECE_BINS
from mer.training.label_scores import MultilabelScores
from mer.training.metrics import Scores

COLDEST, HOTTEST = 0.05, 20.0  # dev without an error asks for ever colder ones
_HALVINGS = 60  # of the logarithm's interval: to the last bit of a float

Probable = Scores | MultilabelScores  # scores that give probabilities


@dataclass(frozen=True, slots=True)
class Temperature:
    """Divide class scores, or scores of labels, by `value`.

    Args:
        value: in [COLDEST, HOTTEST]; above 1 the answers become less sure.
        nll_before, nll_after: of dev, in nats: the mean over rows; of several labels over all cells.
        ece_before, ece_after: expected calibration error of dev over `bins` equal bins of [0, 1]: of the chosen class;
            of several labels of each label's own probability, over all cells.
    """

    value: float
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float
    bins: int = ECE_BINS

    @property
    def at_its_bound(self) -> bool:
        """Whether dev asks for a temperature beyond those that are tried."""
        return self.value in (COLDEST, HOTTEST)


def fit_temperature(dev: Probable) -> Temperature:
    """Find the temperature at which dev is most likely.

    The likelihood is concave in 1 / temperature, so its slope has one zero; the search halves an interval around it.
    """
    slope = _slope_of(dev)
    cold, hot = log(COLDEST), log(HOTTEST)
    if slope(1 / COLDEST) <= 0:  # colder is better still
        value = COLDEST
    elif slope(1 / HOTTEST) >= 0:
        value = HOTTEST
    else:
        for _ in range(_HALVINGS):
            middle = (cold + hot) / 2
            cold, hot = (middle, hot) if slope(exp(-middle)) > 0 else (cold, middle)
        value = exp((cold + hot) / 2)
    after = at_temperature(dev, value)
    return Temperature(value, nll_of(dev), nll_of(after), dev.ece, after.ece)


def at_temperature(scores: Probable, value: float) -> Probable:
    """Return scores whose probabilities are those at a temperature."""
    return replace(scores, logits_NC=cooled(scores.logits_NC, value))


def cooled(logits_NC: np.ndarray, value: float | None) -> np.ndarray:
    """Divide class scores (N, C) by a temperature, in float64; None leaves them as they are."""
    return logits_NC if value is None else np.asarray(logits_NC, dtype=np.float64) / value


def nll_of(scores: Probable) -> float:
    """Mean negative log-likelihood, nats: of rows; of several labels over all cells."""
    return scores.nll if isinstance(scores, Scores) else scores.loss


def _slope_of(dev: Probable) -> Callable[[float], float]:
    """Return the slope of dev's mean negative log-likelihood by 1 / temperature: what is expected less what is true."""
    z = dev.logits_NC.astype(np.float64)
    if isinstance(dev, Scores):
        z_NC, true_N = z[dev.scored_N], dev.labels_N[dev.scored_N]
        z_NC = z_NC - z_NC.max(axis=1, keepdims=True)
        of_truth = float(z_NC[np.arange(len(z_NC)), true_N].mean())

        def of_classes(inverse: float) -> float:
            weights_NC = np.exp(inverse * z_NC)
            return float(((weights_NC * z_NC).sum(axis=1) / weights_NC.sum(axis=1)).mean()) - of_truth

        return of_classes
    z_M, true_M = z[dev.said_NC], dev.true_NC[dev.said_NC]

    def of_labels(inverse: float) -> float:
        chance_M = 0.5 * (1.0 + np.tanh(0.5 * inverse * z_M))  # the logistic function, without overflow
        return float(((chance_M - true_M) * z_M).mean())

    return of_labels
