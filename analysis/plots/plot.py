"""Points and lines between two axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from analysis.page.html import esc
from analysis.plots.axis import Axis
from analysis.plots.picture import CHARACTER, USUAL, cut, frame, label, mark

_RIGHT, _TOP, _BOTTOM = 14, 26, 40


@dataclass
class Plot:
    """A frame with two axes; add marks, then `svg()`. Marks outside the frame are moved to its rim, as a triangle."""

    x: Axis
    y: Axis
    title: str
    width: int = USUAL
    height: int = 260
    says: str = ""
    _marks: list[str] = field(default_factory=list)

    @cached_property
    def left(self) -> float:
        """Room for the labels of the y axis."""
        longest = max((len(cut(text, 20)) for _, text in self.y.ticks(self._rows)), default=1)
        return max(34.0, longest * CHARACTER + 12) + (16 if self.y.label else 0)

    @property
    def _rows(self) -> int:
        return max(2, self.height // 36)

    @property
    def _floor(self) -> int:
        return self.height - _BOTTOM

    def _x(self, value: float) -> float:
        return self.left + self.x.at(value) * (self.width - self.left - _RIGHT)

    def _y(self, value: float) -> float:
        return self._floor - self.y.at(value) * (self._floor - _TOP)

    def point(self, x: float, y: float, kind: str, hint: str, radius: float = 4.0, trial: int | None = None) -> None:
        """Add a mark. `kind` is a CSS class: done, cut, open, failed, best."""
        across, up = self.x.at(x), self.y.at(y) if y == y else 0.0
        px = self.left + min(max(across, 0.0), 1.0) * (self.width - self.left - _RIGHT)
        py = self._floor - min(max(up, 0.0), 1.0) * (self._floor - _TOP)
        if kind == "failed":
            self._marks.append(
                mark("path", f'class="failed" d="M{px - 4:.1f} {py - 4:.1f}l8 8m0 -8l-8 8"', hint, trial)
            )
        elif not 0.0 <= up <= 1.0:
            tip = 7 if up < 0 else -7
            triangle = f'class="{kind}" d="M{px - 4:.1f} {py - tip:.1f}h8L{px:.1f} {py:.1f}z"'
            self._marks.append(mark("path", triangle, hint, trial))
        elif not 0.0 <= across <= 1.0:
            tip = 7 if across < 0 else -7
            triangle = f'class="{kind}" d="M{px + tip:.1f} {py - 4:.1f}v8L{px:.1f} {py:.1f}z"'
            self._marks.append(mark("path", triangle, hint, trial))
        else:
            self._marks.append(
                mark("circle", f'class="{kind}" cx="{px:.1f}" cy="{py:.1f}" r="{radius:g}"', hint, trial)
            )

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
        wide = self.width - self.left - _RIGHT
        self._marks.append(
            f'<rect class="band" x="{self.left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{bottom - top:.1f}"/>'
        )

    def cell(self, x: tuple[float, float], y: tuple[float, float], step: int) -> None:
        """Add a shaded field, places in [0, 1] of both axes. Args: step: of the palette's shades."""
        left, right = (self.left + place * (self.width - self.left - _RIGHT) for place in x)
        low, high = (self._floor - place * (self._floor - _TOP) for place in y)
        self._marks.append(
            f'<rect class="h{step}" x="{left:.1f}" y="{high:.1f}" width="{right - left + 0.4:.1f}" '
            f'height="{low - high + 0.4:.1f}"/>'
        )

    def svg(self) -> str:
        right, floor, left = self.width - _RIGHT, self._floor, self.left
        parts = [label(left if len(self.title) < (right - left) / 7 else 2, 16, self.title, css="title",
                       most=int((self.width - 60) / 7))]  # fmt: skip
        for value, text in self.y.ticks(self._rows):
            py = self._y(value)
            parts.append(f'<path class="grid" d="M{left:.1f} {py:.1f}H{right}"/>')
            parts.append(label(left - 6, py + 4, text, anchor="end", most=20))
        wide = right - left
        longest = max((len(text) for _, text in self.x.ticks(6)), default=1)
        many = max(2, int(wide / max(44, longest * CHARACTER + 14)))
        room = wide / max(1, len(self.x.labels) or 1)
        for value, text in self.x.ticks(many):
            px = self._x(value)
            parts.append(f'<path class="grid" d="M{px:.1f} {_TOP}V{floor}"/>')
            most = max(3, int(room / CHARACTER)) if self.x.labels else 99
            parts.append(label(min(px, right - 2), floor + 15, text, anchor="middle", most=most))
        parts.append(f'<path class="axis" d="M{left:.1f} {_TOP}V{floor}H{right}"/>')
        parts.append(label((left + right) / 2, self.height - 7, self.x.label, anchor="middle", css="small"))
        if self.y.label:
            parts.append(
                f'<text class="small" transform="translate(12 {(_TOP + floor) / 2}) rotate(-90)" text-anchor="middle">'
                f"{esc(cut(self.y.label, int((floor - _TOP) / CHARACTER)))}</text>"
            )
        return frame(self.width, self.height, self.title, "".join([*parts, *self._marks]), self.says)
