"""A confusion matrix as a table of coloured cells: it can be read at any width, and read aloud."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.page.html import esc
from analysis.page.palette import step_of


def matrix(counts: Sequence[Sequence[float]], names: Sequence[str], caption: str) -> str:
    """Write counts, and each one's share of its true class in percent and as depth of colour.

    Args: counts: (C true, C predicted).
    """
    heads = "".join(f'<th scope="col">{esc(name)}</th>' for name in names)
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = sum(row)
        cells = []
        for other, count in zip(names, row, strict=True):
            share = count / total if total else 0.0
            says = f"{name} taken for {other}: {_short(count)} of {_short(total)}"
            cells.append(
                f'<td class="h{step_of(share)}" title="{esc(says)}"><b>{_short(count)}</b>'
                f"<span>{100 * share:.0f} %</span></td>"
            )
        rows.append(f'<tr><th scope="row">{esc(name)}<br><span>{_short(total)}</span></th>{"".join(cells)}</tr>')
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{esc(caption)}"><table class="matrix">'
        f"<caption>{esc(caption)}</caption><thead><tr><td>true ↓&nbsp;&nbsp;predicted →</td>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _short(count: float) -> str:
    """Write a count, or a mean of counts with one digit behind the point."""
    return f"{round(count, 1):.10g}"
