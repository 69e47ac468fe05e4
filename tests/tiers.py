"""Which parameters of a test belong to the quick tier."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_except(values: Iterable[Any], *quick: Any) -> list[Any]:
    """Values for `pytest.mark.parametrize`; all but the `quick` ones carry the marker `slow`."""
    values = list(values)
    assert all(value in values for value in quick), f"not among the values: {quick}"
    return [value if value in quick else _slow(value) for value in values]


def _slow(value: Any) -> Any:
    several = value if isinstance(value, tuple) else (value,)
    return pytest.param(*several, marks=pytest.mark.slow)
