"""Draw predicted numbers against true ones as SVG, a square for each number, without a plotting library."""

from __future__ import annotations

from html import escape

import numpy as np

_SIDE, _LEFT, _TOP, _GAP = 260, 56, 74, 40
_MOST = 2000  # marks of a square; more say nothing and make the file heavy


def scatter_svg(truth_NT: np.ndarray, output_NT: np.ndarray, names: tuple[str, ...], title: str) -> str:
    """Write a scatter of each number as SVG text; on the dashed line output and number are equal.

    Args: truth_NT, output_NT: numbers, NaN where a row does not say one, and outputs.
    """
    width = _LEFT + len(names) * (_SIDE + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_TOP + _SIDE + 44}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
        f'<text transform="translate(14 {_TOP + _SIDE / 2}) rotate(-90)" text-anchor="middle" fill="#555">'
        "output</text>",
    ]
    for place, name in enumerate(names):
        said = ~np.isnan(truth_NT[:, place])
        parts += _square(_LEFT + place * (_SIDE + _GAP), name, truth_NT[said, place], output_NT[said, place])
    return "\n".join([*parts, "</svg>"])


def _square(left: float, name: str, truth: np.ndarray, output: np.ndarray) -> list[str]:
    """Draw the frame, the dashed line and the marks of one number."""
    both = np.concatenate([truth, output]).astype(np.float64) if len(truth) else np.array([0.0, 1.0])
    low, high = float(both.min()), float(both.max())
    room = 0.04 * (high - low) or 0.5
    low, high = low - room, high + room
    across = lambda value: left + _SIDE * (float(value) - low) / (high - low)  # noqa: E731
    up = lambda value: _TOP + _SIDE * (high - float(value)) / (high - low)  # noqa: E731
    parts = [
        f'<rect x="{left}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" fill="#f7fbff" stroke="#ddd"/>',
        f'<path d="M{left} {_TOP + _SIDE}L{left + _SIDE} {_TOP}" stroke="#999" stroke-dasharray="4 4" fill="none"/>',
        f'<text x="{left + _SIDE / 2}" y="{_TOP - 12}" text-anchor="middle">{escape(name)}</text>',
    ]
    for value in (low + room, high - room):
        parts.append(
            f'<text x="{across(value):.1f}" y="{_TOP + _SIDE + 16}" text-anchor="middle" fill="#555">{value:.3g}</text>'
        )
        parts.append(f'<text x="{left - 6}" y="{up(value) + 4:.1f}" text-anchor="end" fill="#555">{value:.3g}</text>')
    step = -(-len(truth) // _MOST) or 1
    for x, y in zip(truth[::step], output[::step], strict=True):
        parts.append(f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.6" fill="#084081" fill-opacity="0.35"/>')
    drawn = f", every {step}. is drawn" if step > 1 else ""
    parts.append(
        f'<text x="{left + _SIDE / 2}" y="{_TOP + _SIDE + 34}" text-anchor="middle" fill="#555">true '
        f"({len(truth)} rows{drawn})</text>"
    )
    return parts
