"""Score the folds of every seed on their test parts, and tell the spread over folds from that over seeds.

A trial over folds has a model for each. Every utterance is test in one fold and is scored once, by the model that did
not see it. The part is read after every seed was trained and its epoch chosen on the dev parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from mer.checkpoints import load_tensors
from mer.checkpoints.tensors import under
from mer.config import TargetKind, TrialConfig
from mer.config.metrics import NO_SHARES
from mer.data.folds import Folds
from mer.files import sha256_file, write_json, write_text
from mer.statistics import METRICS, over_folds
from mer.study.folder.artifacts import predictions_csv
from mer.study.paths import TEST, TEST_PREDICTIONS
from mer.study.show.words import show
from mer.training import Split, build_run, scores_of
from mer.training.folds import fold_prefix
from trainables.fold_data import Tables, data_of_folds, refuse_other_rows, take_rows
from trainables.shared_table import as_split
from trainables.trial_files import BEST

_SHOWN: dict[TargetKind, dict[str, str]] = {
    "class": {
        "accuracy": "accuracy", "weighted_f1": "weighted-F1", "macro_f1": "macro-F1", "unweighted_accuracy": "UA",
    },
    "regression": {"ccc": "CCC", "pearson": "Pearson", "mae": "MAE"},
    "multilabel": {"macro_f1": "macro-F1", "micro_f1": "micro-F1", "samples_f1": "samples-F1", "jaccard": "Jaccard"},
}  # fmt: skip


class FoldResult(BaseModel):
    """Scores of one seed on the test part of one fold.

    Attributes:
        name: of the part.
        train, test: rows of it.
    """

    model_config = ConfigDict(strict=True, frozen=True)
    name: str
    train: int
    test: int
    metrics: dict[str, float]


def score_folds(
    config: TrialConfig, folder: Path, tables: Tables, folds: Folds, features: str, device: str
) -> list[FoldResult]:
    """Score a seed's models on the test part of each fold and write it down.

    Args:
        config: with the seed.
        folder: of its trial; gets the predictions of all parts, fold after fold.
        tables: of all rows, by modality.
        features: names of their files.
    """
    best = folder / BEST
    tensors, _ = load_tensors(best)
    data, layers = data_of_folds(config, tables, folds)
    found, logits = [], []
    names: tuple[str, ...] = ()
    for number, (fold, own) in enumerate(zip(folds.folds, data, strict=True), start=1):
        run = build_run(config, own, layers, device)
        run.load_weights(under(fold_prefix(number), tensors))
        test = as_split(config, {name: take_rows(table, fold.test) for name, table in tables.items()})
        scores, names = run.scores(run.predict(test), test), own.class_names
        logits.append(scores.logits_NC)
        found.append(
            FoldResult(name=fold.name, train=len(fold.train), test=len(fold.test), metrics=scores.as_metrics("test"))
        )
    pooled = test_of_folds(config, tables, folds)
    whole = scores_of(config.data, np.concatenate(logits), pooled.labels_N, names)
    write_text(folder / TEST_PREDICTIONS, predictions_csv(whole, pooled.ids))
    means = {name: float(np.mean([one.metrics[name] for one in found])) for name in found[0].metrics}
    write_json(
        folder / TEST,
        {
            "seed": config.seed,
            "metrics": means,
            "folds": [one.model_dump() for one in found],
            "weights_sha256": sha256_file(best),
            "features": features,
        },
    )
    return found


def test_of_folds(config: TrialConfig, tables: Tables, folds: Folds) -> Split:
    """Return the test parts of all folds, fold after fold: every utterance once."""
    refuse_other_rows(tables, folds)
    return as_split(config, {name: take_rows(table, folds.test_rows) for name, table in tables.items()})


def folds_json(by: str, of_seeds: Sequence[Sequence[FoldResult]]) -> dict[str, Any]:
    """Describe the folds for `results.json`: each one's mean over seeds, and both spreads.

    Args: of_seeds: for each seed, its results fold after fold.
    """
    first = of_seeds[0]
    share = float(np.mean([one.test / one.train for one in first]))
    spread = {}
    wanted = dict.fromkeys([*METRICS, *(name for shown in _SHOWN.values() for name in shown)])
    for metric in [name for name in wanted if f"test_{name}" in first[0].metrics]:
        values_SF = np.array([[one.metrics[f"test_{metric}"] for one in folds] for folds in of_seeds])
        spread[f"test_{metric}"] = asdict(over_folds(values_SF, share))
    return {
        "by": by,
        "parts": [
            {
                "name": one.name,
                "train": one.train,
                "test": one.test,
                "mean": {
                    name: float(np.mean([folds[place].metrics[name] for folds in of_seeds])) for name in one.metrics
                },
            }
            for place, one in enumerate(first)
        ],
        "spread": spread,
    }


def print_folds(console: Console, told: dict[str, Any]) -> None:
    """Print a row for each fold, the mean of the seeds, then the spread over folds and that over seeds."""
    table = Table(title=f"folds by {told['by']}, mean of the seeds", title_justify="left", box=None, pad_edge=False)
    known = next(of for of in _SHOWN.values() if all(f"test_{name}" in told["spread"] for name in of))
    for heading in ("test part", "rows", *known.values()):
        table.add_column(heading, justify="left" if heading == "test part" else "right", no_wrap=True)
    for part in told["parts"]:
        cells = [show(metric, part["mean"][f"test_{metric}"]) for metric in known]
        table.add_row(part["name"], str(part["test"]), *cells)
    table.add_section()
    spreads = {metric: told["spread"][f"test_{metric}"] for metric in known}
    table.add_row("mean", f"n={len(told['parts'])}", *[show(metric, one["mean"]) for metric, one in spreads.items()])
    table.add_row("sd over folds", "", *[show(metric, one["sd_folds"]) for metric, one in spreads.items()])
    table.add_row("sd over seeds", "", *[show(metric, one["sd_seeds"]) for metric, one in spreads.items()])
    table.add_row("95 % over folds", "", *[_bounds(metric, one["interval"]) for metric, one in spreads.items()])
    console.print(table)
    console.print(f"note: {next(iter(spreads.values()))['note']}", highlight=False, soft_wrap=True)


def folds_markdown(told: dict[str, Any]) -> list[str]:
    """Write the folds as lines of a Markdown table."""
    shown = next(of for of in _SHOWN.values() if all(f"test_{name}" in told["spread"] for name in of))
    known = dict(list(shown.items())[:2])
    lines = ["", f"| folds by {told['by']} | rows | {' | '.join(known.values())} |", "| :--- | ---: | ---: | ---: |"]
    for part in told["parts"]:
        cells = [in_words(name, part["mean"][f"test_{name}"]) for name in known]
        lines.append(f"| {part['name']} | {part['test']} | {' | '.join(cells)} |")
    spreads = {name: told["spread"][f"test_{name}"] for name in known}
    for words, key in (("sd over folds", "sd_folds"), ("sd over seeds", "sd_seeds")):
        lines.append(f"| {words} | | {' | '.join(show(name, one[key]) for name, one in spreads.items())} |")
    intervals = " | ".join(_bounds(name, one["interval"]) for name, one in spreads.items())
    return [*lines, f"| 95 % over folds | | {intervals} |"]


def in_words(metric: str, value: float | None) -> str:
    """Write a metric with its unit, where that is percent."""
    return f"{show(metric, value)}{'' if NO_SHARES.fullmatch(metric) else ' %'}"


def _bounds(metric: str, bounds: Sequence[float] | None) -> str:
    return "-" if bounds is None else f"[{show(metric, bounds[0])}, {show(metric, bounds[1])}]"
