"""Arithmetic of how well numbers agree, which scores of a split and their resampled intervals share.

Suffix: arrays may have any shape; the formulas act on each place by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_ROUNDING = 1e-13  # share of a sum of squares that rounding may leave of nothing
ECE_BINS = 15
_SAME = 1e-12  # spread of equal numbers, relative to their size


@dataclass(frozen=True)
class Moments:
    """Sums over rows of x and y about fixed origins.

    Args:
        n: rows.
        x, y, xx, yy, xy: sums of (x - x0), (y - y0), and of their products.
        x0, y0: the origins; near the means, nothing is lost to rounding.
    """

    n: np.ndarray
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray
    x0: np.ndarray
    y0: np.ndarray

    def pearson(self) -> np.ndarray:
        """Compute Pearson's correlation; 0 where x or y is constant, since nothing varies with the other."""
        var_x, var_y, cov, _ = self._central()
        return ratio(cov, np.sqrt(var_x * var_y), 0.0)

    def ccc(self) -> np.ndarray:
        """Compute the concordance correlation (Lin 1989): 2 cov / (var x + var y + (mean x - mean y)^2).

        Variances divide by n, as in the papers on valence and arousal. Equal constants agree: 1.
        """
        var_x, var_y, cov, apart = self._central()
        apart = np.where(np.abs(apart) <= _SAME * np.maximum(np.abs(self.x0), np.abs(self.y0)), 0.0, apart)
        return ratio(2 * cov, var_x + var_y + apart**2, 1.0)

    def _central(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Compute variances, covariance and the difference of the means; exact zeros for what is constant."""
        n = np.maximum(self.n, 1)
        mean_x, mean_y = self.x / n, self.y / n
        var_x = _variance(self.xx / n, mean_x, self.x0)
        var_y = _variance(self.yy / n, mean_y, self.y0)
        cov = np.where((var_x > 0) & (var_y > 0), self.xy / n - mean_x * mean_y, 0.0)
        return var_x, var_y, cov, (self.x0 + mean_x) - (self.y0 + mean_y)


def _variance(mean_square: np.ndarray, mean: np.ndarray, origin: np.ndarray) -> np.ndarray:
    variance = mean_square - mean**2
    constant = (variance <= _ROUNDING * mean_square) | (variance <= (_SAME * np.abs(origin + mean)) ** 2)
    return np.where(constant, 0.0, np.maximum(variance, 0.0))


def ratio(above: np.ndarray, below: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    """Divide place by place; `otherwise` where `below` is 0, as scikit-learn's `zero_division`."""
    above, below = np.broadcast_arrays(above, below)
    return np.divide(above, below, out=np.full(above.shape, otherwise), where=below > 0)


@dataclass(frozen=True)
class Accuracy:
    """A way in which papers turn numbers into classes and count the right ones.

    Args:
        name: of the metric.
        f1: name of the weighted F1 over two classes; "" where papers report none.
        classes: numbers -> class numbers from 0 on.
        among: true numbers -> rows that count.
    """

    name: str
    f1: str
    classes: Callable[[np.ndarray], np.ndarray]
    among: Callable[[np.ndarray], np.ndarray]


def _all_rows(truth: np.ndarray) -> np.ndarray:
    return np.ones(truth.shape, dtype=bool)


def _rounded(most: int) -> Callable[[np.ndarray], np.ndarray]:
    """Round to whole numbers after clipping, halves to even, as numpy and the papers' code do."""
    return lambda values: (np.round(np.clip(values, -most, most)) + most).astype(int)


def _between(*edges: float) -> Callable[[np.ndarray], np.ndarray]:
    """Number the intervals between edges; an edge belongs to the lower one."""
    return lambda values: np.searchsorted(np.array(edges), np.asarray(values), side="left")


_MOSI = (  # Zadeh et al. 2016, as Tsai et al. 2019 (MulT), Yu et al. 2021 (Self-MM) and MMSA count
    Accuracy("acc2_has0", "f1_has0", lambda values: (np.asarray(values) >= 0).astype(int), _all_rows),
    Accuracy("acc2_non0", "f1_non0", lambda values: (np.asarray(values) > 0).astype(int), lambda truth: truth != 0),
    Accuracy("acc5", "", _rounded(2), _all_rows),
    Accuracy("acc7", "", _rounded(3), _all_rows),
)
_SIMS = (  # Yu et al. 2020, as MMSA counts
    Accuracy("acc2", "f1", _between(0.0), _all_rows),
    Accuracy("acc3", "", _between(-0.1, 0.1), _all_rows),
    Accuracy("acc5", "", _between(-0.7, -0.1, 0.1, 0.7), _all_rows),
)


def accuracies_of(allowed: tuple[float, float] | None) -> tuple[Accuracy, ...]:
    """Return the accuracies that papers report of numbers in this range (`data.range`); () for other ranges."""
    return {(-3.0, 3.0): _MOSI, (-1.0, 1.0): _SIMS}.get(allowed or (0.0, 0.0), ())


def calibration_error(chance_N: np.ndarray, right_N: np.ndarray, bins: int = ECE_BINS) -> float:
    """Compute the expected calibration error: over equal bins of [0, 1], how far chances are from the share of hits.

    Args:
        chance_N: probabilities of answers.
        right_N: whether each came true.
    """
    bin_N = np.minimum((chance_N * bins).astype(int), bins - 1)
    gap = np.bincount(bin_N, weights=chance_N - right_N, minlength=bins)
    return float(np.abs(gap).sum() / len(chance_N))


def weighted_f1(right_C: np.ndarray, predicted_C: np.ndarray, support_C: np.ndarray) -> np.ndarray:
    """Compute F1 weighted by support from counts over classes, the last axis; 0/0 is 0."""
    f1_C = ratio(2.0 * right_C, support_C + predicted_C, 0.0)
    return ratio((support_C * f1_C).sum(axis=-1), support_C.sum(axis=-1), 0.0)
