"""Print tables of a measurement: with rich where it is installed, as plain lines elsewhere."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.measure import Table

Cells = Sequence[Sequence[str]]


def show(table: Table) -> None:
    """Print medians with their spread, then ratios, or why there are none, then notes."""
    rows = [
        [name, _number(statistics.median(found)), _number(min(found)), _number(max(found)), str(len(found))]
        for name, found in table.values().items()
    ]
    _print(f"{table.title} ({table.unit})", ["", "median", "least", "most", "rounds"], rows)
    if table.refusal:
        print(f"NO RATIOS: {table.refusal}")
    elif table.ratios:
        words = {None: "", True: "met", False: "NOT met"}
        rows = [
            [f"{r.of} / {r.to}", f"{value:.3f}", _aim(r.limit, r.least), words[r.is_met(value)]]
            for r, value in table.compared()
        ]
        _print("median of the ratios of each round", ["", "ratio", "aim", ""], rows)
    for note in table.notes:
        print(note)


def _aim(limit: float | None, least: bool) -> str:
    return "" if limit is None else f"{'>=' if least else '<='} {limit:g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _print(title: str, header: Sequence[str], rows: Cells) -> None:
    try:
        from rich.console import Console
        from rich.table import Table as Grid
    except ImportError:
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        print(f"\n{title}")
        for row in [header, *rows]:
            print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                            for i, (cell, width) in enumerate(zip(row, widths, strict=True))))  # fmt: skip
        return
    grid = Grid(title=title, title_justify="left")
    for i, name in enumerate(header):
        grid.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=140)).print(grid)
