"""Draw every trial as a line across the axes of its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from analysis.plots.axis import Axis
from analysis.plots.picture import CHARACTER, cut, frame, label, mark

_TOP, _BOTTOM, _LEFT, _RIGHT, _ABSENT = 44, 34, 66, 60, 24


class Strand(NamedTuple):
    """One trial: its value on each axis (None where it has none), its CSS class and tooltip."""

    values: Sequence[float | None]
    css: str
    hint: str
    trial: int


def parallel_svg(axes: Sequence[tuple[str, Axis]], strands: Sequence[Strand], title: str, width: int) -> str:
    """Draw the axes beside each other; a trial without a value passes below its axis. Later strands lie on top."""
    gap = (width - _LEFT - _RIGHT) / max(1, len(axes) - 1)
    height = 330
    top, floor = _TOP, height - _BOTTOM - _ABSENT
    spots = [_LEFT + index * gap for index in range(len(axes))]

    def place(axis: Axis, value: float | None) -> float:
        return floor + _ABSENT if value is None else floor - min(max(axis.at(value), 0.0), 1.0) * (floor - top)

    parts = [label(2, 14, title, css="title", most=int(width / 7))]
    for x, (name, axis) in zip(spots, axes, strict=True):
        parts.append(f'<path class="axis" d="M{x:.1f} {top}V{floor}"/>')
        parts.append(label(x, 34, name, anchor="middle", css="small", most=max(6, int(gap / CHARACTER))))
        for value, text in axis.ticks(5):
            y = place(axis, value)
            if axis.labels and len(axis.labels) > 12 and int(value) % (len(axis.labels) // 12 + 1):
                continue
            parts.append(f'<path class="axis" d="M{x - 4:.1f} {y:.1f}H{x:.1f}"/>')
            parts.append(label(x - 6, y + 4, text, anchor="end", most=max(4, int(min(gap - 14, 96) / CHARACTER))))
    if any(value is None for strand in strands for value in strand.values):
        parts.append(label(2, floor + _ABSENT + 4, "not drawn", css="small"))
    lines = []
    for strand in strands:
        path = "M" + "L".join(
            f"{x:.1f} {place(axis, value):.1f}" for x, (_, axis), value in zip(spots, axes, strand.values, strict=True)
        )
        lines.append(mark("path", f'class="{strand.css}" d="{path}"', strand.hint, strand.trial))
    says = f"{cut(title, 80)}: {len(strands)} trials across {', '.join(name for name, _ in axes)}"
    return frame(width, height, title, "".join([*lines, *parts]), says)
