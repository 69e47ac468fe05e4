"""AdamW whose moments have 8 bits (`optim.moment_bits: 8`): bitsandbytes, Dettmers et al. 2022, arXiv 2110.02861.

Moments of large matrices take a quarter of the memory, in blocks that have a scale of their own; those of small tensors
stay in float32, as the library decides.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from mer.errors import MerError


def require_eight_bits() -> None:
    """Raise MerError when the extra is missing."""
    if find_spec("bitsandbytes") is None:
        raise MerError(
            "optim.moment_bits",
            "8 bits need the package bitsandbytes",
            allowed="32, which needs nothing",
            then='pip install "mer[eight-bit]", or --set optim.moment_bits=32',
        )


def eight_bit_adamw(groups: list[dict[str, Any]], betas: tuple[float, float], eps: float) -> torch.optim.Optimizer:
    """Build the optimiser over groups of parameters. Raises: MerError when the extra is missing."""
    require_eight_bits()
    from bitsandbytes.optim import AdamW8bit

    made: torch.optim.Optimizer = AdamW8bit(groups, betas=betas, eps=eps)
    return made
