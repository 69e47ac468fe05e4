"""Values that are chosen from a list, as Optuna stores them: scalars. Lists and mappings become marked JSON text."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

Scalar = str | int | float | bool | None
_JSON_MARK = "json:"


def encode(value: Any) -> Scalar:
    """Turn a value into a scalar, as Optuna's categories have to be. Text that has the mark itself is marked too."""
    if isinstance(value, list | dict) or (isinstance(value, str) and value.startswith(_JSON_MARK)):
        return _JSON_MARK + json.dumps(value)
    return value


def decode(value: Scalar) -> Any:
    """Return the value that `encode` was given."""
    return (
        json.loads(value.removeprefix(_JSON_MARK)) if isinstance(value, str) and value.startswith(_JSON_MARK) else value
    )


def place_of(value: Any) -> Hashable:
    """Return a key that two values share when Optuna takes one for the other, but `true` is not 1."""
    encoded = encode(value)
    return isinstance(encoded, bool), encoded


def frozen(value: Any) -> Hashable:
    """Return a key that two values share when they are equal."""
    if isinstance(value, list | tuple):
        return tuple(map(frozen, value))
    if isinstance(value, dict):
        return frozenset((key, frozen(item)) for key, item in value.items())
    return value if isinstance(value, Hashable) else id(value)
