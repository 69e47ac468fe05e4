"""Map values to places on an axis, and choose ticks that can be read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """Maps values to [0, 1]. `labels` makes it an axis of categories, whose values are 0, 1, 2, ...

    Args:
        percent: values are fractions and are labelled in percent.
        whole: ticks at whole numbers only.
        unit: divides a value before it is labelled, e.g. 3600 for hours.
        silent: without ticks, for a scale that means nothing.
    """

    low: float
    high: float
    log: bool = False
    label: str = ""
    labels: Sequence[str] = ()
    percent: bool = False
    whole: bool = False
    unit: float = 1.0
    silent: bool = False

    def at(self, value: float) -> float:
        if self.labels:
            return (value + 0.5) / len(self.labels)
        if self.high == self.low:
            return 0.5
        if self.log:
            if value <= 0:
                return 0.0
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Return places and texts of about `most` ticks."""
        if self.silent:
            return []
        if self.labels:
            return [(float(index), text) for index, text in enumerate(self.labels)]
        if self.high == self.low:
            return [(self.low, self._text(self.low, 1.0))]
        values = _log_ticks(self.low, self.high, most) if self.log else []
        if len(values) < 2:
            values = _ticks(self.low / self.unit, self.high / self.unit, most, self.whole)
            step = values[1] - values[0] if len(values) > 1 else 1.0
            return [(value * self.unit, self._text(value, step)) for value in values]
        return [(value, self._text(value, value)) for value in values]

    def _text(self, value: float, step: float) -> str:
        if self.percent:
            return f"{100 * value:.{max(0, -math.floor(math.log10(100 * step) + 1e-9))}f}"
        if value and abs(value) < 1e-3:
            return f"{value:.2g}".replace("e-0", "e-")
        return f"{round(value, 6):,.10g}".replace(",", "\N{THIN SPACE}")


def span(values: Sequence[float], *, label: str, percent: bool, keep: float = 0.0) -> Axis:
    """Make an axis around values. Outliers far from the bulk are left outside, so that the rest keeps its room.

    Args:
        keep: +1 when large values are good and never left outside, -1 for small ones, 0 for neither.
    """
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    if keep and len(ordered) >= 8:
        quarter, median, three = (ordered[int(share * (len(ordered) - 1))] for share in (0.25, 0.5, 0.75))
        reach = 2.5 * (three - quarter) or (high - low)
        low, high = (max(low, median - reach), high) if keep > 0 else (low, min(high, median + reach))
    margin = 0.06 * (high - low) or abs(high) * 0.02 or 0.01
    return Axis(low - margin, high + margin, label=label, percent=percent)


def _ticks(low: float, high: float, most: int, whole: bool) -> list[float]:
    raw = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    step = max(1.0, step) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**decade for decade in decades for factor in factors]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) <= most + 1:
            return ticks
    return ticks[:: math.ceil(len(ticks) / max(1, most))]
