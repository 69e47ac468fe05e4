"""Ranks of methods over corpora: scores of different corpora cannot be averaged, ranks can (Demšar 2006)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

_FEWEST = 3  # methods, and corpora, that Friedman's test needs to say anything
_FEW = 10  # corpora; below, the test's distribution is rough


@dataclass(frozen=True)
class Ranks:
    """Ranks of methods.

    Args:
        by_corpus: corpus -> method -> rank; 1 is the best, equal scores share the mean of their places.
        average: method -> mean rank over the corpora, best first.
        p: of Friedman's test that no method is better than another; None where it cannot be told.
        note: why `p` is missing, or how far to trust it.
    """

    by_corpus: dict[str, dict[str, float]]
    average: dict[str, float]
    p: float | None
    note: str


def average_ranks(scores: Mapping[str, Mapping[str, float]]) -> Ranks:
    """Rank methods on each corpus by a score that is better when larger, and average the ranks.

    Friedman's test (1937) asks whether any method differs; which one, it does not say.

    Args: scores: corpus -> method -> score; every corpus has all methods.
    Raises: ValueError without corpora, for a method that a corpus lacks, and for a score that is not finite.
    """
    if not scores:
        raise ValueError("scores: expected at least one corpus")
    methods = list(next(iter(scores.values())))
    for corpus, of_corpus in scores.items():
        if set(of_corpus) != set(methods):
            raise ValueError(f"scores: {corpus} has other methods than the first corpus")
    values_CM = np.array([[of_corpus[name] for name in methods] for of_corpus in scores.values()], dtype=np.float64)
    if not np.isfinite(values_CM).all():
        raise ValueError("scores: all must be finite")
    ranks_CM = stats.rankdata(-values_CM, axis=1)
    by_corpus = {
        corpus: dict(zip(methods, map(float, row), strict=True)) for corpus, row in zip(scores, ranks_CM, strict=True)
    }
    mean = dict(zip(methods, map(float, ranks_CM.mean(axis=0)), strict=True))
    p, note = _friedman(values_CM)
    return Ranks(by_corpus, dict(sorted(mean.items(), key=lambda item: item[1])), p, note)


def _friedman(values_CM: np.ndarray) -> tuple[float | None, str]:
    corpora, methods = values_CM.shape
    if methods < _FEWEST or corpora < _FEWEST:
        return None, f"Friedman's test needs {_FEWEST} methods and {_FEWEST} corpora: {methods} and {corpora} are here"
    if (np.ptp(values_CM, axis=1) == 0).all():
        return None, "all methods have equal scores on every corpus"
    p = float(stats.friedmanchisquare(*values_CM.T).pvalue)
    rough = f"; {corpora} corpora are few: only large differences show, and p is rough" if corpora < _FEW else ""
    return p, f"Friedman's test over {corpora} corpora, whether any method differs: p = {p:.3f}{rough}"
