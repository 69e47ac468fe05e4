"""What is wrong with a file of features, in words that do not repeat its path."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

LARGEST_BYTES = 2**35  # of one array; MOSEI's unaligned sound has 2.4 GB
_NUMBERS = "fiub"


class Unfit(Exception):
    """Features that cannot be used. str() says in a few words why: "holds NaN or infinity"."""


def require_numbers(dtype: np.dtype[Any], name: str) -> None:
    """Raise Unfit for an array that holds anything but numbers."""
    what = f"array {name!r}" if name else "its array"
    if dtype.hasobject:
        raise Unfit(f"{what} holds Python objects (dtype object), which are never read: they could run code")
    if dtype.names is not None or dtype.kind not in _NUMBERS:
        raise Unfit(f"{what} is of type {dtype}, numbers are expected")


def require_size(shape: tuple[int, ...], itemsize: int, name: str) -> int:
    """Return the bytes of an array. Raises: Unfit for more than any features have."""
    size = math.prod(shape) * itemsize
    if size > LARGEST_BYTES or any(side < 0 for side in shape):
        raise Unfit(f"array {name!r} of shape {shape} has {size} bytes, at most {LARGEST_BYTES} are read")
    return size
