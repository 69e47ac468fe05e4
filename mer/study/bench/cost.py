"""What a protocol would take: the dry run of each cell that is not done, and the seeds that come after it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from mer.errors import MerError
from mer.study.bench.cells import Cell
from mer.study.bench.one_cell import CellOptions, refuse_other_plan
from mer.study.preflight.dry_run import dry_run
from mer.terminal.page import Page


@dataclass(frozen=True)
class CellCost:
    """What a cell takes at most.

    Args:
        trainings: trials of the search, seeds of the re-ranking and of the evaluation.
        epochs: of all of them.
        seconds: estimated; start of Ray and of worker processes, and encoding missing features, come on top.
    """

    trainings: int
    epochs: int
    seconds: float


def print_costs(cells: Sequence[Cell], options: CellOptions, console: Console) -> list[MerError]:
    """Print a row for each cell. Nothing is encoded, trained or recorded. Returns: why cells would be refused."""
    table = Table(title=f"{len(cells)} cells", title_justify="left", box=None, pad_edge=False)
    for heading in ("cell", "trainings", "epochs at most", "minutes at most"):
        table.add_column(heading, justify="left" if heading == "cell" else "right", no_wrap=True)
    refused: list[MerError] = []
    costs: list[CellCost] = []
    for cell in cells:
        if options.place.done(cell) is not None:
            table.add_row(cell.name, "done", "", "")
            continue
        try:
            cost = _cost(cell, options)
        except MerError as fault:
            refused.append(MerError(cell.name, fault.message))
            table.add_row(cell.name, "refused", "", "")
            continue
        costs.append(cost)
        table.add_row(cell.name, str(cost.trainings), f"{cost.epochs:,}", f"{cost.seconds / 60:.1f}")
    table.add_section()
    whole = [sum(getattr(cost, name) for cost in costs) for name in ("trainings", "epochs", "seconds")]
    table.add_row("all", str(whole[0]), f"{whole[1]:,}", f"{whole[2] / 60:.1f}")
    console.print(table)
    console.print(
        "minutes: epochs of made-up rows were timed; start of processes (about half a minute a cell) and encoding of "
        "missing features come on top",
        soft_wrap=True,
    )
    console.print("dry run: nothing was encoded, trained or recorded")
    return refused


def _cost(cell: Cell, options: CellOptions) -> CellCost:
    refuse_other_plan(cell, options)
    found = dry_run(cell.spec, options.of_search(cell, dry_run=True), Page.on(io.StringIO()))
    repeats = len(cell.seeds) + (cell.rerank.top * len(cell.rerank.seeds) if cell.rerank else 0)
    share = (found.trials + repeats) / found.trials
    return CellCost(found.trials + repeats, round(found.epochs * share), found.seconds * share)
