"""Smooth a value over two axes, for shading behind the points that it was measured at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.page.palette import STEPS, step_of

_CELLS, _REACH, _ENOUGH = 22, 0.11, 0.35  # cells a side; standard deviation of the kernel; weight that a cell needs


def shaded(
    places: Sequence[tuple[float, float]], values: Sequence[float], *, larger_is_better: bool
) -> Iterator[tuple[tuple[float, float], tuple[float, float], int]]:
    """Yield (x from, to), (y from, to) and shade of every cell that has trials near it; darker is better.

    A kernel mean (Nadaraya and Watson 1964) with a Gaussian. Values are ranked first, so that a few bad ones do not
    take the whole scale.

    Args: places: in [0, 1] of both axes.
    """
    spots = np.asarray(places, dtype=float)
    order = np.argsort(np.argsort(np.asarray(values, dtype=float) * (1 if larger_is_better else -1), kind="stable"))
    ranks = order / max(1, len(order) - 1)
    middles = (np.arange(_CELLS) + 0.5) / _CELLS
    grid = np.stack(np.meshgrid(middles, middles, indexing="ij"), axis=-1)
    distance = ((grid[:, :, None, :] - spots) ** 2).sum(axis=-1)
    weights = np.exp(-distance / (2 * _REACH**2))
    total = weights.sum(axis=-1)
    mean = (weights @ ranks) / np.maximum(total, 1e-12)
    for column in range(_CELLS):
        for row in range(_CELLS):
            if total[column, row] >= _ENOUGH:
                sides = [(index / _CELLS, (index + 1) / _CELLS) for index in (column, row)]
                yield sides[0], sides[1], min(STEPS - 1, step_of(float(mean[column, row])))
