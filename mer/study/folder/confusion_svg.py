"""Draw a confusion matrix as SVG, in a few milliseconds. It is sharp at any size and MLflow shows it as it is.

No plotting library draws it: loading one takes a second at the end of every study, and 0.1 s for each picture.
"""

from __future__ import annotations

from html import escape

import numpy as np

_CELL, _LEFT, _TOP = 64, 110, 86


def confusion_svg(
    confusion_CC: np.ndarray, class_names: tuple[str, ...], title: str, *, support_C: np.ndarray | None = None
) -> str:
    """Write a matrix of counts, coloured by the share of the true class, as SVG text.

    Args:
        confusion_CC: counts, (C true, C predicted).
        support_C: rows of each true class, where they may be predicted as several; None: the sums of the counts.
    """
    size = len(class_names) * _CELL
    support = confusion_CC.sum(axis=1, keepdims=True) if support_C is None else support_C[:, None]
    shares = np.divide(confusion_CC, support, out=np.zeros(confusion_CC.shape), where=support > 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size + _LEFT + 20}" height="{size + _TOP + 40}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
        f'<text x="{_LEFT + size / 2}" y="48" text-anchor="middle" fill="#555">predicted</text>',
        f'<text x="12" y="{_TOP - 10}" fill="#555">true</text>',
    ]
    for row, name in enumerate(class_names):
        middle = _TOP + row * _CELL + _CELL / 2
        parts.append(f'<text x="{_LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(name)}</text>')
        parts.append(
            f'<text x="{_LEFT + row * _CELL + _CELL / 2}" y="{_TOP - 10}" text-anchor="middle">{escape(name)}</text>'
        )
        for column in range(len(class_names)):
            share = float(shares[row, column])
            x, y = _LEFT + column * _CELL, _TOP + row * _CELL
            ink = "white" if share > 0.55 else "#222"
            parts.append(
                f'<rect x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" fill="{_blue(share)}" stroke="#ddd"/>'
                f'<text x="{x + _CELL / 2}" y="{middle}" text-anchor="middle" fill="{ink}">'
                f"{int(confusion_CC[row, column])}</text>"
                f'<text x="{x + _CELL / 2}" y="{middle + 16}" text-anchor="middle" fill="{ink}" font-size="10">'
                f"{100 * share:.0f}%</text>"
            )
    note = "colour and percent: share of the true class (recall on the diagonal)"
    parts.append(f'<text x="{_LEFT}" y="{_TOP + size + 24}" fill="#555" font-size="11">{note}</text></svg>')
    return "\n".join(parts)


def _blue(share: float) -> str:
    """Return the colour of a share in [0, 1], from near white to dark blue."""
    low, high = np.array([247, 251, 255]), np.array([8, 64, 129])
    red, green, blue = (low + (high - low) * share).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"
