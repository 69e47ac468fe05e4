"""Which numbers or labels of a split its rows say."""

from __future__ import annotations

from functools import cached_property

import numpy as np


class Said:
    """Tell what counts in the scores of numbers and of several labels.

    A subclass has `labels_N` (N, C), NaN where a row does not say a number or a label.
    """

    labels_N: np.ndarray

    @cached_property
    def said_NC(self) -> np.ndarray:
        """What the rows say, bool."""
        return ~np.isnan(self.labels_N)

    @cached_property
    def scored_N(self) -> np.ndarray:
        """Numbers of the rows that say something."""
        return np.flatnonzero(self.said_NC.any(axis=1))
