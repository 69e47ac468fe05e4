"""Draw what ran when, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from analysis.plots.axis import Axis
from analysis.plots.picture import frame, label, mark

_LANE, _TOP, _LEFT, _RIGHT = 22, 28, 12, 14


class Span(NamedTuple):
    """One stretch of time in seconds, drawn in the colour of its CSS class."""

    begin: float
    end: float
    css: str
    hint: str
    trial: int


def pack(spans: Sequence[Span]) -> list[list[Span]]:
    """Put spans into as few lanes as there were at once; in a lane none overlaps another."""
    lanes: list[list[Span]] = []
    for one in sorted(spans):
        free = [lane for lane in lanes if lane[-1].end <= one.begin + 1e-9]
        if free:
            max(free, key=lambda lane: lane[-1].end).append(one)
        else:
            lanes.append([one])
    return lanes


def lanes_svg(lanes: Sequence[Sequence[Span]], title: str, width: int) -> str:
    """Draw the lanes over time since the first span."""
    start, end = min(one.begin for lane in lanes for one in lane), max(one.end for lane in lanes for one in lane)
    whole = max(end - start, 1e-3)
    unit, name = next((u, n) for u, n in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
                      if whole >= 2 * u or u == 1.0)  # fmt: skip
    axis, room, floor = Axis(0.0, whole, unit=unit), width - _LEFT - _RIGHT, _TOP + _LANE * len(lanes)
    parts = [label(_LEFT, 16, title, css="title", most=int(width / 7))]
    for value, text in axis.ticks(max(3, width // 110)):
        x = _LEFT + axis.at(value) * room
        parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{floor}"/>')
        parts.append(label(min(x, width - 12), floor + 15, text, anchor="middle"))
    for row, lane in enumerate(lanes):
        for one in lane:
            x, wide = _LEFT + (one.begin - start) / whole * room, max((one.end - one.begin) / whole * room, 0.8)
            place = f'x="{x:.1f}" y="{_TOP + row * _LANE + 3}" width="{wide:.1f}" height="{_LANE - 6}"'
            parts.append(mark("rect", f'class="{one.css}" {place}', one.hint, one.trial))
    parts.append(label(_LEFT + room / 2, floor + 32, f"{name} since the first trial", anchor="middle", css="small"))
    return frame(width, floor + 40, title, "".join(parts))
