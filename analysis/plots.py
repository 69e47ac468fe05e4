"""Small SVG pictures that follow the page: their colours are the page's CSS variables, light or dark.

Drawn by hand because a picture from matplotlib is fixed to one background and ten times the size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

LEFT, RIGHT, TOP, BOTTOM = 52, 14, 26, 38
SERIES = 5  # --s1 ... --s5


@dataclass(frozen=True)
class Axis:
    """Maps values to [0, 1]. `labels` makes it an axis of categories, whose values are 0, 1, 2, ..."""

    low: float
    high: float
    log: bool = False
    label: str = ""
    labels: Sequence[str] = ()
    percent: bool = False
    whole: bool = False

    def at(self, value: float) -> float:
        if self.labels:
            return (value + 0.5) / len(self.labels)
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        if self.labels:
            return [(float(index), text) for index, text in enumerate(self.labels)]
        values = _log_ticks(self.low, self.high, most) if self.log else _ticks(self.low, self.high, most, self.whole)
        step = values[1] - values[0] if len(values) > 1 else 1.0
        return [(value, self._text(value, step)) for value in values]

    def _text(self, value: float, step: float) -> str:
        if self.log or not self.percent:
            return f"{value:.0e}".replace("e-0", "e-") if value and abs(value) < 1e-3 else f"{round(value, 6):g}"
        return f"{100 * value:.{max(0, -math.floor(math.log10(100 * step) + 1e-9))}f}"


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


@dataclass
class Plot:
    """A frame with two axes; add marks, then `svg()`. Marks outside the frame are moved to its rim, as a triangle."""

    x: Axis
    y: Axis
    title: str
    width: int = 520
    height: int = 300
    _marks: list[str] = field(default_factory=list)

    def _x(self, value: float) -> float:
        return LEFT + self.x.at(value) * (self.width - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        return self.height - BOTTOM - self.y.at(value) * (self.height - TOP - BOTTOM)

    def point(self, x: float, y: float, kind: str, hint: str, radius: float = 4.0) -> None:
        """Add a mark. `kind` is a CSS class: done, cut, open, failed, best."""
        px, hover = self._x(x), f"<title>{escape(hint)}</title>"
        rim = min(max(self.y.at(y), 0.0), 1.0) if y == y else 0.0
        py = self.height - BOTTOM - rim * (self.height - TOP - BOTTOM)
        if kind == "failed":
            cross = f"M{px - 4:.1f} {py - 4:.1f}l8 8m0 -8l-8 8"
            self._marks.append(f'<path class="failed" d="{cross}">{hover}</path>')
        elif rim != self.y.at(y):
            tip = 7 if rim == 0 else -7
            triangle = f"M{px - 4:.1f} {py - tip:.1f}h8L{px:.1f} {py:.1f}z"
            self._marks.append(f'<path class="{kind}" d="{triangle}">{hover}</path>')
        else:
            self._marks.append(f'<circle class="{kind}" cx="{px:.1f}" cy="{py:.1f}" r="{radius:g}">{hover}</circle>')

    def line(self, points: Sequence[tuple[float, float]], css: str, *, steps: bool = False) -> None:
        if not points:
            return
        places = [(self._x(x), self._y(min(max(y, self.y.low), self.y.high))) for x, y in points]
        path = f"M{places[0][0]:.1f} {places[0][1]:.1f}"
        for px, py in places[1:]:
            path += f"H{px:.1f}V{py:.1f}" if steps else f"L{px:.1f} {py:.1f}"
        self._marks.append(f'<path class="line {css}" d="{path}"/>')

    def band(self, low: float, high: float) -> None:
        """Add a shaded stripe between two y values."""
        top, bottom = (self._y(min(max(value, self.y.low), self.y.high)) for value in (high, low))
        wide = self.width - LEFT - RIGHT
        self._marks.append(f'<rect class="band" x="{LEFT}" y="{top:.1f}" width="{wide}" height="{bottom - top:.1f}"/>')

    def svg(self) -> str:
        right, floor = self.width - RIGHT, self.height - BOTTOM
        parts = [f'<text class="title" x="{LEFT}" y="16">{escape(self.title)}</text>']
        for value, text in self.y.ticks(max(2, self.height // 45)):
            py = self._y(value)
            parts.append(f'<path class="grid" d="M{LEFT} {py:.1f}H{right}"/>')
            parts.append(f'<text class="tick" x="{LEFT - 6}" y="{py + 4:.1f}" text-anchor="end">{escape(text)}</text>')
        room = (right - LEFT) / max(1, len(self.x.labels))
        for value, text in self.x.ticks(max(2, self.width // 65)):
            px, cut = self._x(value), max(3, int(room / 6.2))
            shown = text if not self.x.labels or len(text) <= cut else text[: cut - 1] + "…"
            parts.append(f'<path class="grid" d="M{px:.1f} {TOP}V{floor}"/>')
            hint = f"<title>{escape(text)}</title>" if shown != text else ""
            parts.append(
                f'<text class="tick" x="{px:.1f}" y="{floor + 15}" text-anchor="middle">{escape(shown)}{hint}</text>'
            )
        middle = (LEFT + right) / 2
        parts.append(
            f'<text class="small" x="{middle}" y="{self.height - 5}" text-anchor="middle">{escape(self.x.label)}</text>'
        )
        if self.y.label:
            parts.append(
                f'<text class="small" transform="translate(12 {(TOP + floor) / 2}) rotate(-90)" text-anchor="middle">'
                f"{escape(self.y.label)}</text>"
            )
        return frame(self.width, self.height, self.title, "".join([*parts, *self._marks]))


def frame(width: int, height: int, title: str, body: str) -> str:
    return (
        f'<svg class="plot" role="img" aria-label="{escape(title)}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">{body}</svg>'
    )


def bars(rows: Sequence[tuple[str, float, str]], title: str, *, width: int = 520, most: float = 1.0) -> str:
    """Draw horizontal bars, each with a label, a length in [0, most], and text at its end."""
    left, row = 10 + 6.6 * max(len(label) for label, _, _ in rows), 24
    room = width - left - 90
    parts = [f'<text class="title" x="0" y="16">{escape(title)}</text>']
    for index, (label, value, text) in enumerate(rows):
        y = TOP + 6 + index * row
        parts.append(f'<text class="tick" x="{left - 8:.1f}" y="{y + 13}" text-anchor="end">{escape(label)}</text>')
        parts.append(
            f'<rect class="bar" x="{left:.1f}" y="{y + 2}" width="{room * value / most:.1f}" height="15" rx="2"/>'
        )
        parts.append(f'<text class="tick" x="{left + room * value / most + 6:.1f}" y="{y + 13}">{escape(text)}</text>')
    return frame(width, TOP + 12 + len(rows) * row, title, "".join(parts))


def matrix(counts: Sequence[Sequence[int]], names: Sequence[str], title: str) -> str:
    """Draw a confusion matrix: counts, and each one's share of its true class in percent and as depth of colour."""
    cell, left, top, size = 62, 96, 52, len(names)
    parts = [f'<text class="title" x="0" y="16">{escape(title)}</text>']
    parts.append(f'<text class="small" x="{left + size * cell / 2}" y="32" text-anchor="middle">predicted</text>')
    for row, name in enumerate(names):
        total, y, across = sum(counts[row]), top + row * cell, left + (row + 0.5) * cell
        parts.append(f'<text class="tick" x="{across}" y="{top - 6}" text-anchor="middle">{escape(name)}</text>')
        parts.append(
            f'<text class="tick" x="{left - 8}" y="{y + cell / 2 - 2}" text-anchor="end">{escape(name)}</text>'
        )
        parts.append(f'<text class="small" x="{left - 8}" y="{y + cell / 2 + 13}" text-anchor="end">{total}</text>')
        for column, count in enumerate(counts[row]):
            x, share = left + column * cell, count / total if total else 0.0
            middle, ink = x + cell / 2, "onbar" if share > 0.45 else "tick"
            parts.append(f'<rect class="cell" x="{x}" y="{y}" width="{cell - 2}" height="{cell - 2}"/>')
            parts.append(
                f'<rect class="heat" fill-opacity="{share:.3f}" x="{x}" y="{y}" width="{cell - 2}" height="{cell - 2}">'
                f"<title>{escape(name)} taken for {escape(names[column])}: {count}</title></rect>"
            )
            parts.append(f'<text class="{ink}" x="{middle}" y="{y + 28}" text-anchor="middle">{count}</text>')
            parts.append(
                f'<text class="{ink} tiny" x="{middle}" y="{y + 43}" text-anchor="middle">{100 * share:.0f} %</text>'
            )
    return frame(left + size * cell + 4, top + size * cell + 4, title, "".join(parts))


def _ticks(low: float, high: float, most: int, whole: bool) -> list[float]:
    raw = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    step = max(1.0, step) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**decade for decade in decades for factor in factors]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) <= most + 1:
            break
    return ticks
