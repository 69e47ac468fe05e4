"""What a tuned encoder is given: ragged rows of tokens as tensors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor


class TokenBatch(NamedTuple):
    """Ragged rows, one after another: ids (sum of lengths,) or states (sum, D); lengths and spans are numpy, (B,) and
    (B, 2)."""

    values: Tensor
    lengths: np.ndarray
    spans: np.ndarray
