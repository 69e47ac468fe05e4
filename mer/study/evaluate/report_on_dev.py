"""Report seeds on dev where there is no test split, with the warning that dev chose the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from mer.config.metrics import MAIN
from mer.data.registry import unit_of
from mer.files import write_json
from mer.naming import label_of, method_name
from mer.statistics import Scored, describe
from mer.study.evaluate.compare import ScoredSeeds
from mer.study.evaluate.report_on_test import HEADINGS, interval
from mer.study.evaluate.seed_table import SeedTable
from mer.study.evaluate.seeds import SeedResult, SeedStudy
from mer.study.folder.recorded import read_predictions
from mer.study.paths import ARTIFACTS, DEV_PREDICTIONS
from mer.study.show.words import show

_WARNING = "dev scores: dev chose the configuration and each seed's epoch, so expect less on unseen data"


def scored_on_dev(study: SeedStudy, export: Path, results: Sequence[SeedResult]) -> ScoredSeeds:
    """Collect the dev scores of all seeds from the predictions that their trials wrote."""
    read = [read_predictions(result.folder / ARTIFACTS / DEV_PREDICTIONS) for result in results]
    data = study.config.data
    by_seed = {result.seed: result.dev[f"dev_{MAIN[data.task]}"] for result in results}
    ids, labels_N, _ = read[0]
    unit, how = unit_of(data, "dev"), Scored(data.task, data.range)
    return ScoredSeeds(study.name, str(export), by_seed, [logits for _, _, logits in read], ids, labels_N, unit, how)


def report_dev(
    study: SeedStudy,
    export: Path,
    results: Sequence[SeedResult],
    folder: Path,
    command: str,
    console: Console,
    comparisons: Sequence[dict[str, Any]] = (),
    *,
    title: str = "",
    method: str = "",
) -> None:
    """Print the dev scores of every seed, their mean, sd, interval and n, and write `dev_results.json`.

    Args: title, method: of the results; "": those of the study.
    """
    known = {f"dev_{name}": words for name, words in HEADINGS[study.config.data.task].items()}
    columns = {name: words for name, words in known.items() if all(name in result.dev for result in results)}
    summary = {name: describe([result.dev[name] for result in results]) for name in columns}
    method = method or method_name(study.config)
    told = list(summary.items())
    intervals = [interval(name, (two.low, two.high) if (two := one.t_interval) else None) for name, one in told]
    SeedTable(
        title=f"{title or study.name}: dev, not test",
        method=method,
        metrics=list(columns.values()),
        seeds=[(r.seed, [show(name, r.dev[name]) for name in columns], r.epoch) for r in results],
        spreads=[
            ("mean", f"n={len(results)}", [show(name, one.mean) for name, one in told]),
            ("sample sd", "", [show(name, one.sd) for name, one in told]),
            ("95 % over seeds (t)", "", intervals),
        ],
    ).print(console)
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
            **({"kind": study.config.data.task} if study.config.data.task != "class" else {}),
            "export": str(export),
            "seeds": [{"seed": r.seed, "epoch": r.epoch, "dev": r.dev, "trial": r.number} for r in results],
            "summary": {name: asdict(one) for name, one in summary.items()},
            "comparisons": list(comparisons),
            "command": command,
        },
    )
    console.print(f"written: {folder / 'dev_results.json'}", soft_wrap=True)
