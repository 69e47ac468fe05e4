"""Files of a protocol's folder: how its cells stand.

benches/small/
  bench.json                 the protocol, and every cell: corpus, feature set, method, state, time
  cells/meld-text-ce.yaml    the search space of a cell: python -m mer.tune opens its study with it
  cells/meld-text-ce.log     what its commands have printed
  cells/meld-text-ce.json    what it has given; there once the cell is done
  exports/meld-text-ce/      its winner
  scores.md, scores.csv, ranks.md, ranks.csv, report.html      tables and page (analysis.bench_page)
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from mer.errors import MerError
from mer.files import write_json
from mer.read_files import read_model, read_object
from mer.study.bench.cells import Cell

FORMAT = 1
BENCH = "bench.json"
State = Literal["waiting", "done", "failed"]


class Done(BaseModel):
    """What a cell has given.

    Attributes:
        plan: `Cell.plan`, for which it holds.
        study: folder of the search, from the protocol's folder.
        trial: the winner.
        searched: its dev score in the search.
        reranked: its mean on dev over the seeds of the re-ranking; None without one.
        results: results.json of the evaluation, from the protocol's folder.
        metric: the main one of the task.
        mean, sd, n: of it on test, over seeds.
    """

    model_config = ConfigDict(strict=True, frozen=True)
    format: int
    plan: str
    study: str
    trial: int
    searched: float
    reranked: float | None
    export: str
    results: str
    metric: str
    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class Place:
    """The folder of a protocol.

    Args: folder: benches/NAME, or what --out says.
    """

    folder: Path

    def space(self, cell: Cell) -> Path:
        """Return the search space of a cell."""
        return self.folder / "cells" / f"{cell.name}.yaml"

    def log(self, cell: Cell) -> Path:
        return self.folder / "cells" / f"{cell.name}.log"

    def result(self, cell: Cell) -> Path:
        return self.folder / "cells" / f"{cell.name}.json"

    def export(self, cell: Cell) -> Path:
        return self.folder / "exports" / cell.name

    @property
    def lock(self) -> Path:
        return self.folder / ".lock"

    def from_here(self, path: Path) -> str:
        """Write a path as seen from the folder, so that all of it can be moved together."""
        return os.path.relpath(path.resolve(), self.folder.resolve())

    def done(self, cell: Cell) -> Done | None:
        """Return what a cell has given; None where it has yet to, or was done by another plan."""
        try:
            found = read_model(self.result(cell), Done)
        except (OSError, ValueError, MerError):
            return None
        there = (self.folder / found.results).is_file()
        return found if there and found.format == FORMAT and found.plan == cell.plan else None

    def write_bench(self, told: dict[str, Any], cells: list[dict[str, Any]]) -> None:
        """Write down how all cells stand."""
        write_json(self.folder / BENCH, {"format": FORMAT, **told, "cells": cells})

    def cells_so_far(self) -> list[dict[str, Any]]:
        """Return the cells of bench.json; [] where there is none that can be read."""
        try:
            cells = read_object(self.folder / BENCH).get("cells")
        except (OSError, ValueError, MerError):
            return []
        found = cells if isinstance(cells, list) else []
        return [one for one in found if isinstance(one, dict) and isinstance(one.get("cell"), str)]
