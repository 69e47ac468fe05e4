"""Tables of a protocol: the scores of every cell, and the ranks of methods over corpora."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from analysis.evaluation_page.scores import mean_and_sd
from analysis.page.tables import Table
from analysis.page.words import clock, show, words
from analysis.stores.bench import Bench, BenchCell
from analysis.stores.evaluation import interval
from analysis.stores.files import inner, number
from mer.statistics import Ranks, average_ranks

_HEAD = ["corpus", "features", "method"]
_SEEDS = ["mean", "sd over seeds", "seeds", "95 % seeds, low", "95 % seeds, high"]
_UNITS = ["units", "95 % units, low", "95 % units, high"]
_FOLDS = ["folds", "sd over folds", "95 % folds, low", "95 % folds, high"]
_COUNTS = ("seeds", "units", "folds")


def scores_tables(bench: Bench) -> list[Table]:
    """Build the tables of all cells, one for each main metric: statistics, other metrics, the winner, time.

    Cells that have no scores stand in the first.
    """
    mains = list(dict.fromkeys(cell.evaluation.main for cell in bench.cells if cell.evaluation)) or [""]
    tables = []
    for index, main in enumerate(mains):
        cells = [
            cell
            for cell in bench.cells
            if (cell.evaluation.main == main if cell.evaluation is not None else index == 0)
        ]
        tables.append(_scores(cells, main, "scores" if index == 0 else f"scores_{main}"))
    return tables


def _scores(cells: Sequence[BenchCell], main: str, name: str) -> Table:
    done = [cell.evaluation for cell in cells if cell.evaluation is not None]
    others = list(dict.fromkeys(metric for one in done for metric in one.shown if metric != main))
    folds = _FOLDS if any("folds" in one.told for one in done) else []
    statistics = [*_SEEDS, *_UNITS, *folds]
    also = [f"{words(metric)}, mean ± sd" for metric in others]
    header = [*_HEAD, *statistics, *also, "chosen on dev", "time", "note"]
    rows = [_row(cell, others, len(folds), len(statistics) + len(also)) for cell in cells]
    formats: dict[str, Any] = {key: partial(show, main) for key in statistics if key not in _COUNTS}
    caption = f"{words(main)} on test" if main else "No cell is done"
    return Table(name, header, rows, formats | {"time": clock}, frozen=2, caption=caption)


def _row(cell: BenchCell, others: Sequence[str], with_folds: int, blank: int) -> list[Any]:
    head: list[Any] = [cell.corpus, cell.features, cell.method]
    one, seconds = cell.evaluation, cell.seconds or None
    if one is None:
        first = (cell.reason.splitlines() or [""])[0]
        return [*head, *[None] * (blank + 1), seconds, f"failed: {first}" if cell.state == "failed" else "not run yet"]
    told = one.summary(one.main)
    over_seeds, over_units = (told.get(f"{kind}_interval") or (None, None) for kind in ("t", "bootstrap"))
    row = [*head, told.get("mean"), told.get("sd"), told.get("n"), *over_seeds, f"{one.unit}s", *over_units]
    if with_folds:
        spread = inner(one.told, "folds", "spread", f"{one.split}_{one.main}")
        ends = interval(spread.get("interval")) or (None, None)
        row += [spread.get("folds"), number(spread.get("sd_folds")), *ends]
    row += [mean_and_sd(one, metric) if one.values(metric) else None for metric in others]
    return [*row, one.method, seconds, told.get("note") or None]


def ranks_of(bench: Bench) -> list[Ranks]:
    """Rank methods on every corpus and feature set that all of them have been scored on.

    Corpora with other methods are ranked apart. One of whose methods some have no scores is left out.
    """
    groups: dict[frozenset[str], dict[str, dict[str, float]]] = {}
    for name in dict.fromkeys(cell.group for cell in bench.cells):
        inside = [cell for cell in bench.cells if cell.group == name]
        scores = {cell.method: mean for cell in inside if (mean := cell.mean) is not None}
        if len(scores) == len(inside) > 1:
            groups.setdefault(frozenset(scores), {})[name] = scores
    return [average_ranks(scores) for scores in groups.values()]


def ranks_table(ranks: Sequence[Ranks]) -> Table:
    """Build the table: a row per method, its average rank and its rank on each corpus."""
    corpora = [corpus for one in ranks for corpus in one.by_corpus]
    rows: list[list[Any]] = [
        [method, mean, len(one.by_corpus), *(one.by_corpus.get(name, {}).get(method) for name in corpora)]
        for one in ranks
        for method, mean in one.average.items()
    ]
    header = ["method", "average rank", "corpora", *corpora]
    formats: dict[str, Any] = {"average rank": "{:.2f}".format} | dict.fromkeys(corpora, "{:g}".format)
    return Table("ranks", header, rows, formats, caption="Ranks of methods; 1 is the best")
