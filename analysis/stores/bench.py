"""Read the folder of a protocol: how its cells stand, and the evaluations of those that are done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.stores.evaluation import Evaluation, load_evaluation
from analysis.stores.files import BROKEN, inner, number, read_json, reason
from mer.errors import MerError

BENCH = "bench.json"
_FORMAT = 1


@dataclass(frozen=True)
class BenchCell:
    """One cell.

    Args:
        state: waiting, done or failed.
        reason: why it failed, or why its scores cannot be read.
        seconds: spent on it.
        study: folder of its search.
        evaluation: its scores; None for a cell that is not done.
    """

    name: str
    corpus: str
    features: str
    method: str
    state: str
    reason: str
    seconds: float
    study: Path
    evaluation: Evaluation | None

    @property
    def mean(self) -> float | None:
        """The main metric on test, mean over seeds."""
        return number(self.evaluation.summary(self.evaluation.main).get("mean")) if self.evaluation else None

    @property
    def group(self) -> str:
        """Corpus and feature set: what methods are ranked on."""
        return f"{self.corpus} {self.features}"


@dataclass(frozen=True)
class Bench:
    """A protocol as its folder has it. Args: told: bench.json."""

    folder: Path
    told: dict[str, Any]
    cells: tuple[BenchCell, ...]

    @property
    def name(self) -> str:
        return str(self.told.get("protocol", self.folder.name))

    def done(self) -> list[BenchCell]:
        """List the cells whose scores are there."""
        return [cell for cell in self.cells if cell.evaluation is not None]


def load_bench(folder: Path) -> Bench:
    """Read a protocol's folder. Raises: MerError where it holds none."""
    told = read_json(folder / BENCH)
    if told.get("format") != _FORMAT or not isinstance(told.get("cells"), list):
        raise MerError(folder, f"holds no protocol (no {BENCH} of format {_FORMAT})", allowed="a folder of mer.bench")
    return Bench(folder, told, tuple(_cell(folder, one) for one in told["cells"] if isinstance(one, dict)))


def _cell(folder: Path, told: dict[str, Any]) -> BenchCell:
    name, state, why = (str(told.get(key) or "") for key in ("cell", "state", "reason"))
    evaluation = None
    if state == "done":
        results = folder / str(inner(read_json(folder / "cells" / f"{name}.json")).get("results", ""))
        try:
            evaluation = load_evaluation(results)
        except (MerError, *BROKEN) as fault:
            state, why = "failed", fault.message if isinstance(fault, MerError) else reason(fault)
    corpus, features, method = (str(told.get(key) or "") for key in ("corpus", "features", "method"))
    seconds, study = number(told.get("seconds")) or 0.0, folder / str(told.get("study") or "")
    return BenchCell(name, corpus, features, method, state, why, seconds, study, evaluation)
