"""What a tuned encoder is given: ragged rows of tokens as tensors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor


class TokenBatch(NamedTuple):
    """Ragged rows, one after another.

    `values`: ids or samples (sum of lengths,), hidden states (sum, D), or frames (sum, ...). `lengths` (B,) and `spans`
    (B, 2), the hidden states that the pooler averages, are numpy. A row that is not there is empty.
    """

    values: Tensor
    lengths: np.ndarray
    spans: np.ndarray

    def emptied(self) -> TokenBatch:
        """As many rows, none of which is there."""
        return TokenBatch(self.values[:0], np.zeros_like(self.lengths), np.zeros_like(self.spans))
