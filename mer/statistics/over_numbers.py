"""Sums per unit from which every score of predicted numbers follows.

Shape suffixes: N utterances, U units, S seeds, T numbers of an utterance, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mer.agreement import Moments, accuracies_of, weighted_f1
from mer.statistics.resampling import sum_by_unit, times, unit_numbers

METRICS = ("ccc", "pearson", "mae", "rmse")


def metrics_of(allowed: tuple[float, float] | None) -> tuple[str, ...]:
    """List the metrics that are resampled: METRICS, and the accuracies of numbers in this range."""
    further = [name for one in accuracies_of(allowed) for name in (one.name, one.f1) if name]
    return (*METRICS, *further)


@dataclass(frozen=True)
class NumberSums:
    """Sums about fixed origins; a number that a row does not say is in none of them.

    Args:
        rows_UT: rows that say each number.
        of_truth_UT2: sums of y - y0 and of its square.
        of_seeds_UST5: sums of x - x0, of its square and product with y - y0, of |x - y| and (x - y)^2.
        counts: accuracy -> rows right, predicted and true by its classes, (U, S, T, C), (U, S, T, C), (U, T, C).
        x0_ST, y0_T: origins.
    """

    rows_UT: np.ndarray
    of_truth_UT2: np.ndarray
    of_seeds_UST5: np.ndarray
    counts: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    f1_of: dict[str, str]
    x0_ST: np.ndarray
    y0_T: np.ndarray

    @classmethod
    def of(
        cls,
        outputs: Sequence[np.ndarray],
        labels_NT: np.ndarray,
        unit_ids: Sequence[object],
        allowed: tuple[float, float] | None = None,
    ) -> NumberSums:
        """Add up outputs (N, T) of each seed. Args: allowed: range of the numbers, which chooses the accuracies."""
        y_NT = np.asarray(labels_NT, dtype=np.float64)
        x_SNT = np.stack([np.asarray(output, dtype=np.float64) for output in outputs])
        if len(unit_ids) != len(y_NT) or x_SNT.shape[1:] != y_NT.shape:
            raise ValueError(f"outputs: expected {y_NT.shape} per seed and a unit for each row, got {x_SNT.shape[1:]}")
        unit_N, said_NT = unit_numbers(unit_ids), ~np.isnan(y_NT)
        rows_T = np.maximum(said_NT.sum(axis=0), 1)
        y0_T = np.where(said_NT, y_NT, 0.0).sum(axis=0) / rows_T
        x0_ST = np.where(said_NT, x_SNT, 0.0).sum(axis=1) / rows_T
        dy_NT = np.where(said_NT, y_NT - y0_T, 0.0)
        dx_SNT = np.where(said_NT, x_SNT - x0_ST[:, None], 0.0)
        gap_SNT = np.where(said_NT, x_SNT - y_NT, 0.0)
        parts = np.stack([dx_SNT, dx_SNT**2, dx_SNT * dy_NT, np.abs(gap_SNT), gap_SNT**2], axis=-1)
        counts: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        f1_of: dict[str, str] = {}
        for one in accuracies_of(allowed):
            among_NT = said_NT & one.among(np.where(said_NT, y_NT, 0.0))
            true_NTC = _by_class(one.classes(np.where(said_NT, y_NT, 0.0)), among_NT)
            given_SNTC = np.stack([_by_class(one.classes(x_NT), among_NT) for x_NT in x_SNT])
            right = sum_by_unit(np.moveaxis(given_SNTC * true_NTC, 0, 1), unit_N)
            counts[one.name] = (
                right, sum_by_unit(np.moveaxis(given_SNTC, 0, 1), unit_N), sum_by_unit(true_NTC, unit_N)
            )  # fmt: skip
            f1_of |= {one.f1: one.name} if one.f1 else {}
        return cls(
            sum_by_unit(said_NT.astype(float), unit_N),
            sum_by_unit(np.stack([dy_NT, dy_NT**2], axis=-1), unit_N),
            sum_by_unit(np.moveaxis(parts, 0, 1), unit_N),
            counts,
            f1_of,
            x0_ST,
            y0_T,
        )

    @property
    def units(self) -> int:
        return len(self.rows_UT)

    @property
    def classes(self) -> int:
        """How many numbers a row has."""
        return self.rows_UT.shape[1]

    def scores(self, metric: str, times_RU: np.ndarray) -> np.ndarray:
        """Return the metric (R,), averaged over the numbers that a resample has, and over seeds."""
        rows_R1T = times(times_RU, self.rows_UT)[:, None]
        if metric in self.counts or metric in self.f1_of:
            right, given, true = (
                times(times_RU, sums) for sums in self.counts[metric if metric in self.counts else self.f1_of[metric]]
            )
            if metric in self.f1_of:
                score_RST = weighted_f1(right, given, true[:, None])
            else:
                among = true.sum(axis=-1)[:, None]
                score_RST = np.divide(right.sum(axis=-1), among, out=np.zeros(right.shape[:-1]), where=among > 0)
        elif metric in METRICS:
            score_RST = self._of_moments(metric, times_RU, rows_R1T)
        else:
            raise ValueError(f"metric: must be one of {', '.join((*METRICS, *self.counts, *self.f1_of))}")
        there_RST = np.broadcast_to(rows_R1T > 0, score_RST.shape)
        mean_RS = np.where(there_RST, score_RST, 0.0).sum(axis=2) / np.maximum(there_RST.sum(axis=2), 1)
        found: np.ndarray = mean_RS.mean(axis=1)
        return found

    def _of_moments(self, metric: str, times_RU: np.ndarray, rows_R1T: np.ndarray) -> np.ndarray:
        x, xx, xy, far, square = np.moveaxis(times(times_RU, self.of_seeds_UST5), -1, 0)
        if metric in ("mae", "rmse"):
            mean: np.ndarray = (far if metric == "mae" else square) / np.maximum(rows_R1T, 1)
            return mean if metric == "mae" else np.sqrt(mean)
        y, yy = np.moveaxis(times(times_RU, self.of_truth_UT2)[:, None], -1, 0)
        moments = Moments(rows_R1T, x, y, xx, yy, xy, self.x0_ST, self.y0_T)
        return moments.ccc() if metric == "ccc" else moments.pearson()


def _by_class(classes_NT: np.ndarray, among_NT: np.ndarray) -> np.ndarray:
    """Mark the class of each number, (N, T, C) float; none outside `among`."""
    return (classes_NT[..., None] == np.arange(7)) * among_NT[..., None].astype(float)
