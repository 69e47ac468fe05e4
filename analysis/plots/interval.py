"""Draw estimates with their intervals and the single values behind them, one row below the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from analysis.plots.axis import span
from analysis.plots.picture import CHARACTER, frame, label, mark

_ROW, _TOP, _RIGHT = 48, 30, 16


class Estimate(NamedTuple):
    """One row.

    Args:
        middle: the estimate; None where there is none.
        values: what it is the mean of, with a tooltip each.
        inner, outer: two intervals, e.g. over seeds and over dialogues; None where there is none.
        css: colour.
    """

    name: str
    middle: float | None
    values: Sequence[tuple[float, str]] = ()
    inner: tuple[float, float] | None = None
    outer: tuple[float, float] | None = None
    css: str = "s1"
    hint: str = ""


def intervals_svg(rows: Sequence[Estimate], title: str, width: int, *, percent: bool = True, unit: str = "") -> str:
    """Draw the rows on one axis: band the inner interval, line with ends the outer, dots the values."""
    every = [v for row in rows for v in (*(x for x, _ in row.values), *(row.inner or ()), *(row.outer or ()))]
    every += [row.middle for row in rows if row.middle is not None]
    if not every:
        return ""
    axis = span(every, label="", percent=percent)
    narrow = width < 600
    left = 14.0 if narrow else min(300.0, 20 + CHARACTER * max(len(row.name) for row in rows))
    room, floor = width - left - _RIGHT, _TOP + _ROW * len(rows)
    parts = [label(2, 16, title, css="title", most=int(width / 7))]
    for value, text in axis.ticks(max(4, width // 110)):
        x = left + axis.at(value) * room
        parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{floor}"/>')
        parts.append(label(x, floor + 15, text, anchor="middle"))
    for index, row in enumerate(rows):
        y = _TOP + index * _ROW + (_ROW * 0.62 if narrow else _ROW / 2)
        if narrow:
            parts.append(label(left, y - 14, row.name, most=int(room / CHARACTER)))
        else:
            parts.append(label(left - 10, y + 4, row.name, anchor="end", most=int(left / CHARACTER)))
        for ends, css in ((row.inner, "inner"), (row.outer, "outer")):
            if ends:
                low, high = (left + axis.at(end) * room for end in ends)
                caps = f"M{low:.1f} {y - 5:.1f}v10M{high:.1f} {y - 5:.1f}v10" if css == "outer" else ""
                parts.append(f'<path class="{css}" d="M{low:.1f} {y:.1f}H{high:.1f}{caps}"/>')
        for value, hint in row.values:
            place = f'cx="{left + axis.at(value) * room:.1f}" cy="{y + 12:.1f}" r="4"'
            parts.append(mark("circle", f'class="dot {row.css}" {place}', hint))
        if row.middle is not None:
            x = left + axis.at(row.middle) * room
            hint = row.hint or f"{row.name}: {100 * row.middle:.2f}" if percent else f"{row.name}: {row.middle:.4g}"
            parts.append(mark("path", f'class="best" d="M{x:.1f} {y - 7:.1f}l5 7l-5 7l-5 -7z"', hint))
    parts.append(label(left + room / 2, floor + 32, unit, anchor="middle", css="small"))
    return frame(width, floor + 40, title, "".join(parts))
