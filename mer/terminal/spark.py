"""A row of numbers as a line of small bars."""

from __future__ import annotations

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
_PLAIN = "_.-=+*%#"  # for terminals without the others


def spark(values: Sequence[float], *, width: int, encoding: str = "utf-8") -> str:
    """Draw values, the lowest as the lowest bar; many are thinned out to the width, the last one stays.

    Args:
        width: most characters.
        encoding: of the terminal.
    """
    if not values:
        return ""
    count = min(width, len(values))
    some = [values[round((i + 1) * len(values) / count) - 1] for i in range(count)]
    low, high = min(some), max(some)
    bars = _BARS if _can(encoding) else _PLAIN
    step = (high - low) / (len(bars) - 1)
    return "".join(bars[round((value - low) / step) if step else 0] for value in some)


def _can(encoding: str) -> bool:
    try:
        _BARS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
