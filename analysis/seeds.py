"""`python -m analysis.seeds RESULTS.json ...`: seed tables from the files that `mer.evaluate` writes.

A row per seed in the reference layout (method, seed, accuracy, weighted-F1), then mean, sample sd and intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.page.html import clean
from analysis.page.tables import Table
from analysis.page.words import show, words
from analysis.stores.evaluation import MAIN, Evaluation, evaluation_in, load_evaluation
from analysis.stores.files import inner
from mer.cli_app import Debug, launch
from mer.files import write_text

_SUMMARISED = ("accuracy", "weighted_f1", "macro_f1", "unweighted_accuracy", "ece")
_OF_TARGETS = {
    "regression": ("ccc", "pearson", "mae", "acc2_has0", "acc2_non0", "acc5", "acc7"),
    "multilabel": ("macro_f1", "micro_f1", "samples_f1", "jaccard", "accuracy"),
}
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def seeds(
    results: Annotated[list[Path], typer.Argument(help="results.json of one or more evaluations", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="write the Markdown here as well")] = None,
    debug: Debug = False,
) -> None:
    """Print seed tables as Markdown."""
    text = seed_report([load_evaluation(evaluation_in(path) or path) for path in results])
    print(text, end="")
    if out is not None:
        write_text(out, text)


def seed_report(results: Sequence[Evaluation]) -> str:
    """Write Markdown: one heading per dataset, task and split; below it rows, summary, F1 per class and comparisons."""
    parts = []
    for group in dict.fromkeys(found.group for found in results):
        inside = [found for found in results if found.group == group]
        dataset, task, split = group
        parts.append(clean(f"## {dataset}, {task}: {split}\n"))
        parts.append(
            f"Each epoch was chosen on dev{'; test was evaluated once per seed' if split == 'test' else ''}. Percent.\n"
        )
        tables = [seed_table(inside), summary_table(inside), class_table(inside)]
        parts += [table.markdown() for table in tables if table.rows]
        said = [clean(text) for found in inside for text in found.comparisons]
        said += [clean(f"{found.method}: {told}") for found in inside if (told := found.temperature_words)]
        parts += ["\n".join(f"- {text}" for text in said) + "\n"] if said else []
        commands = [clean(f"    {found.told['command']}") for found in inside if found.told.get("command")]
        parts += ["Made by\n", "\n".join(commands) + "\n"] if commands else []
    return "\n".join(parts)


def seed_table(group: Sequence[Evaluation]) -> Table:
    """Build the table in the reference layout, one row per seed."""
    main = _OF_TARGETS[group[0].kind][:3] if group[0].kind in _OF_TARGETS else MAIN
    rows = [
        [found.method, seed, *(found.values(metric).get(seed) for metric in main)]
        for found in group
        for seed in found.seeds
    ]
    percent = {words(metric): (lambda value, metric=metric: show(metric, value)) for metric in main}
    return Table("seeds", ["method", "seed", *map(words, main)], rows, percent)


def summary_table(group: Sequence[Evaluation]) -> Table:
    """Build the table with one row per method and metric."""
    rows: list[list[Any]] = []
    units = list(dict.fromkeys(f"{found.unit}s" for found in group))
    for found in group:
        of_units = f" ({found.unit}s)" if len(units) > 1 else ""
        for metric in _OF_TARGETS.get(found.kind, _SUMMARISED):
            if not (summary := found.summary(metric)):
                continue
            sd, mean = summary["sd"], show(metric, summary["mean"])
            spread = f"{mean} ± {show(metric, sd)}" if sd is not None else mean
            over_seeds, over_units = (_interval(metric, summary.get(f"{name}_interval")) for name in ("t", "bootstrap"))
            intervals = [over_seeds, over_units + of_units]
            rows.append([found.method, words(metric), spread, summary["n"], *intervals, summary["note"] or None])
    over = f"95 % over {' or '.join(units)} (bootstrap)"
    header = ["method", "metric", "mean ± sd", "n", "95 % over seeds (t)", over, "note"]
    keep = len(header) if any(row[-1] for row in rows) else len(header) - 1
    return Table("summary", header[:keep], [row[:keep] for row in rows])


def class_table(group: Sequence[Evaluation]) -> Table:
    """Build the table of mean F1 per class, one row per method."""
    split = group[0].split
    scores = [inner(row, split) for found in group for row in found.told["seeds"]]
    classes = list(
        dict.fromkeys(key.removeprefix(f"{split}_") for row in scores for key in row if key.startswith(f"{split}_f1_"))
    )
    rows: list[list[Any]] = []
    for found in group:
        columns = [list(found.values(name).values()) for name in classes]
        rows.append([found.method, *(sum(values) / len(values) if values else None for values in columns)])
    header = ["mean F1 of", *(name.removeprefix("f1_") for name in classes)]
    return Table("classes", header, rows if classes else [], dict.fromkeys(header[1:], lambda v: show("f1", v)))


def _interval(metric: str, ends: tuple[float, float] | None) -> str:
    return f"{show(metric, ends[0])} to {show(metric, ends[1])}" if ends else "-"


def main() -> None:
    launch(app, "analysis.seeds", "nothing is half-written: type the same command again")


if __name__ == "__main__":
    main()
