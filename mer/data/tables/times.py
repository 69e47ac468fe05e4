"""Times of utterances, in seconds."""

from __future__ import annotations

import math
import re

# H:MM:SS,mmm and HH:MM:SS.mmm; a short fraction (00:06:47,28) is read as a decimal one.
_CLOCK = re.compile(r"(?:(\d{1,2}):)?([0-5]?\d):([0-5]?\d)(?:[.,](\d{1,6}))?", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}(?:[.,]\d{1,9})?", re.ASCII)


def interval_s(start: str, end: str) -> tuple[float | None, float | None]:
    """Read start and end in seconds; None for a time that cannot be read, and for an end not after its start."""
    start_s, end_s = seconds(start), seconds(end)
    if start_s is not None and end_s is not None and end_s <= start_s:
        return start_s, None
    return start_s, end_s


def seconds(time: str) -> float | None:
    """Read "0:06:47,280", "06:47.280" or "407,28" as seconds; None for other text: a bad time is not an error."""
    if (match := _CLOCK.fullmatch(time.strip())) is not None:
        hours, minutes, whole, fraction = match.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(f"{whole}.{fraction or 0}")
    return length_s(time) if _NUMBER.fullmatch(time.strip()) else None


def length_s(cell: str) -> float | None:
    """Read a number of seconds, with a point or a comma; None for other text."""
    try:
        number = float(cell.strip().replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
