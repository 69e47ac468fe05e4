"""Print the scores of seeds as a table that fits its console: what does not fit is said below it, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

_BETWEEN = 2  # blanks between two columns
_FEWEST = 2  # metrics that are always shown


@dataclass(frozen=True)
class SeedTable:
    """Rows of seeds, then what they have in common.

    Args:
        title: above it.
        method: of all seeds.
        metrics: a heading for each of M metrics, the most important first.
        seeds: seed, M scores, epoch.
        spreads: name, number of seeds or "", M cells: mean, sample sd, intervals.
    """

    title: str
    method: str
    metrics: Sequence[str]
    seeds: Sequence[tuple[int, Sequence[str], int]]
    spreads: Sequence[tuple[str, str, Sequence[str]]]

    def print(self, console: Console) -> None:
        """Print it, without the last metrics where it would be too wide, and with the method cut where that is long."""
        rows = [(self.method, str(seed), list(scores), str(epoch)) for seed, scores, epoch in self.seeds]
        common = [(name, count, list(cells), "") for name, count, cells in self.spreads]
        widths = [
            max(map(len, column)) for column in zip(self.metrics, *(row[2] for row in rows + common), strict=True)
        ]
        others = (
            max(len("seed"), *(len(row[1]) for row in rows + common)),
            max(len("epoch"), *(len(row[3]) for row in rows)),
        )
        least = max(len(name) for name, *_ in common)
        count = len(widths)

        def left_for_method() -> int:
            shown = [*others, *widths[:count]]
            return console.width - sum(shown) - _BETWEEN * len(shown)

        while count > _FEWEST and left_for_method() < least:
            count -= 1
        room = max(left_for_method(), least)
        table = Table(title=self.title, title_justify="left", box=None, pad_edge=False)
        table.add_column("method", no_wrap=True, max_width=room)
        for heading in ("seed", *self.metrics[:count], "epoch"):
            table.add_column(heading, justify="right", no_wrap=True)
        for place, (name, number, cells, epoch) in enumerate(rows + common):
            if place == len(rows):
                table.add_section()
            table.add_row(name, number, *cells[:count], epoch)
        console.print(table)
        if len(self.method) > room:
            console.print(f"method: {self.method}", highlight=False, soft_wrap=True)
        if left_out := self.metrics[count:]:
            console.print(f"not shown, for lack of width: {', '.join(left_out)}", highlight=False, soft_wrap=True)
