"""`python -m analysis.seeds RESULTS.json ...`: seed tables from the files that `mer.evaluate` writes.

A row per seed in the reference layout (method, seed, accuracy, weighted-F1), then mean, sample sd and intervals.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.tables import Table, show, words, write_text
from mer.cli_app import Debug, launch
from mer.errors import MerError

FORMAT = 1
_MAIN = ("test_accuracy", "test_weighted_f1")
_SUMMARISED = ("test_accuracy", "test_weighted_f1", "test_macro_f1", "test_unweighted_accuracy", "test_ece")
Results = dict[str, Any]
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def seeds(
    results: Annotated[list[Path], typer.Argument(help="results.json of one or more evaluations", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="write the Markdown here as well")] = None,
    debug: Debug = False,
) -> None:
    """Print seed tables as Markdown."""
    text = seed_report([load_results(path) for path in results])
    print(text, end="")
    if out is not None:
        write_text(out, text)


def load_results(path: Path) -> Results:
    """Read one evaluation. Raises: MerError when the file holds none, or its summary does not follow from its rows."""
    again = "run python -m mer.evaluate again: seeds that are done are not redone"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise MerError(path, f"is no JSON ({fault})", then=again) from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        what = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise MerError(path, f"is no results file of mer.evaluate: format {what!r}", allowed=f"format {FORMAT}")
    missing = [key for key in ("method", "dataset", "task", "seeds") if not found.get(key)]
    rows = found.get("seeds") or []
    missing += [
        f"seeds[{i}].test.{key}" for i, row in enumerate(rows) for key in _MAIN if key not in row.get("test", {})
    ]
    if missing:
        raise MerError(path, f"lacks {', '.join(missing)}", then=again)
    for metric, summary in found.get("summary", {}).items():
        values = [row["test"][metric] for row in rows if metric in row["test"]]
        if values and not math.isclose(summary["mean"], sum(values) / len(values), abs_tol=1e-9):
            raise MerError(
                path,
                f"the mean of {metric} is {summary['mean']:.6f}, its rows give {sum(values) / len(values):.6f}",
                then=again,
            )
    return dict(found)


def seed_report(results: list[Results]) -> str:
    """Write Markdown: one heading per dataset and task; below it rows, summary, per-class F1 and comparisons."""
    parts = []
    for dataset, task in dict.fromkeys((found["dataset"], found["task"]) for found in results):
        group = [found for found in results if (found["dataset"], found["task"]) == (dataset, task)]
        parts.append(f"## {dataset}, {task}: test\n")
        parts.append("Each epoch was chosen on dev; test was evaluated once per seed. Percent.\n")
        tables = [seed_table(group), summary_table(group), class_table(group)]
        parts += [table.markdown() for table in tables if table.rows]
        said = [text for found in group for text in _comparisons(found)]
        parts += ["\n".join(f"- {text}" for text in said) + "\n"] if said else []
        commands = [f"    {found['command']}" for found in group if found.get("command")]
        parts += ["Made by\n", "\n".join(commands) + "\n"] if commands else []
    return "\n".join(parts)


def seed_table(group: list[Results]) -> Table:
    rows = [
        [found["method"], row["seed"], *(row["test"][m] for m in _MAIN)] for found in group for row in found["seeds"]
    ]
    percent = {words(metric): (lambda value, metric=metric: show(metric, value)) for metric in _MAIN}
    return Table("seeds", ["method", "seed", *map(words, _MAIN)], rows, percent)


def summary_table(group: list[Results]) -> Table:
    """Build the table with one row per method and metric."""
    rows, units = [], list(dict.fromkeys(_units(found) for found in group))
    for found in group:
        of_units = f" ({_units(found)})" if len(units) > 1 else ""
        for metric in _SUMMARISED:
            if not (summary := found.get("summary", {}).get(metric)):
                continue
            sd, mean = summary.get("sd"), show(metric, summary["mean"])
            spread = f"{mean} ± {show(metric, sd)}" if sd is not None else mean
            over_seeds, over_units = (_interval(metric, summary.get(f"{name}_interval")) for name in ("t", "bootstrap"))
            intervals = [over_seeds, over_units + of_units]
            rows.append([found["method"], words(metric), spread, summary["n"], *intervals, summary.get("note") or None])
    over = f"95 % over {' or '.join(units)} (bootstrap)"
    header = ["method", "metric", "mean ± sd", "n", "95 % over seeds (t)", over, "note"]
    keep = len(header) if any(row[-1] for row in rows) else len(header) - 1
    return Table("summary", header[:keep], [row[:keep] for row in rows])


def class_table(group: list[Results]) -> Table:
    """Build the table of mean F1 per class, one row per method."""
    classes = list(
        dict.fromkeys(k for f in group for row in f["seeds"] for k in row["test"] if k.startswith("test_f1_"))
    )
    rows = []
    for found in group:
        columns = [[row["test"][name] for row in found["seeds"] if name in row["test"]] for name in classes]
        rows.append([found["method"], *(sum(values) / len(values) if values else None for values in columns)])
    header = ["mean F1 of", *(name.removeprefix("test_f1_") for name in classes)]
    return Table("classes", header, rows if classes else [], dict.fromkeys(header[1:], lambda v: show("test_f1", v)))


def _units(found: Results) -> str:
    """What the bootstrap resampled. Files written before datasets named their unit resampled dialogues."""
    return f"{found.get('unit', 'dialogue')}s"


def _interval(metric: str, ends: list[float] | None) -> str:
    return f"{show(metric, ends[0])} to {show(metric, ends[1])}" if ends else "-"


def _comparisons(found: Results) -> list[str]:
    """List the sentences that compare an evaluation with others."""
    said = found.get("comparisons") or []
    return [str(item.get("verdict", "")) if isinstance(item, dict) else str(item) for item in said if item]


def main() -> None:
    launch(app, "analysis.seeds")


if __name__ == "__main__":
    main()
