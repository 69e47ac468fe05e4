"""Report seeds on dev where there is no test split, with the warning that dev chose the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mer.data.registry import unit_of
from mer.files import write_json
from mer.naming import label_of, method_name
from mer.statistics import describe
from mer.study.evaluate.compare import ScoredSeeds
from mer.study.evaluate.seeds import SeedResult, SeedStudy
from mer.study.folder.recorded import read_predictions
from mer.study.paths import ARTIFACTS, DEV_PREDICTIONS

_COLUMNS = {
    "dev_accuracy": "accuracy",
    "dev_weighted_f1": "weighted-F1",
    "dev_macro_f1": "macro-F1",
    "dev_unweighted_accuracy": "UA",
    "dev_ece": "ECE",
}
_WARNING = "dev scores: dev chose the configuration and each seed's epoch, so expect less on unseen data"


def scored_on_dev(study: SeedStudy, export: Path, results: Sequence[SeedResult]) -> ScoredSeeds:
    """Collect the dev scores of all seeds from the predictions that their trials wrote."""
    read = [read_predictions(result.folder / ARTIFACTS / DEV_PREDICTIONS) for result in results]
    by_seed = {result.seed: result.dev["dev_weighted_f1"] for result in results}
    ids, labels_N, _ = read[0]
    unit = unit_of(study.config.data, "dev")
    return ScoredSeeds(study.name, str(export), by_seed, [logits for _, _, logits in read], ids, labels_N, unit)


def report_dev(
    study: SeedStudy,
    export: Path,
    results: Sequence[SeedResult],
    folder: Path,
    command: str,
    console: Console,
    comparisons: Sequence[dict[str, Any]] = (),
) -> None:
    """Print the dev scores of every seed, their mean, sd, interval and n, and write `dev_results.json`."""
    columns = {name: words for name, words in _COLUMNS.items() if all(name in result.dev for result in results)}
    summary = {name: describe([result.dev[name] for result in results]) for name in columns}
    table = Table(title=f"{study.name}: dev, not test", title_justify="left", box=None, pad_edge=False)
    for heading in ("method", "seed", *columns.values(), "epoch"):
        table.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
    method = method_name(study.config)
    for result in results:
        cells = [f"{100 * result.dev[name]:.2f}" for name in columns]
        table.add_row(method, str(result.seed), *cells, str(result.epoch))
    table.add_section()
    told = list(summary.values())
    table.add_row("mean", f"n={len(results)}", *[f"{100 * one.mean:.2f}" for one in told])
    table.add_row("sample sd", "", *["-" if one.sd is None else f"{100 * one.sd:.2f}" for one in told])
    intervals = [one.t_interval for one in told]
    shown = ["-" if two is None else f"[{100 * two.low:.2f}, {100 * two.high:.2f}]" for two in intervals]
    table.add_row("95 % over seeds (t)", "", *shown)
    console.print(table)
    console.print(f"note: {_WARNING}", highlight=False)
    write_json(
        folder / "dev_results.json",
        {
            "format": 1,
            "split": "dev",
            "note": _WARNING,
            "method": method,
            "label": str(label_of(study.config)),
            "dataset": study.config.data.dataset,
            "export": str(export),
            "seeds": [{"seed": r.seed, "epoch": r.epoch, "dev": r.dev, "trial": r.number} for r in results],
            "summary": {name: asdict(one) for name, one in summary.items()},
            "comparisons": list(comparisons),
            "command": command,
        },
    )
    console.print(f"written: {folder / 'dev_results.json'}", soft_wrap=True)
