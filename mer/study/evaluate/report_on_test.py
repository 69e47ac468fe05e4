"""Print and write an evaluation: a row per seed, mean and spread, comparisons in plain sentences."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mer.config import TrialConfig
from mer.data.registry import unit_of
from mer.files import write_json, write_text
from mer.naming import label_of, method_name
from mer.statistics import METRICS, describe, unit_bootstrap
from mer.study.evaluate.at_threshold import at_thresholds, threshold_line
from mer.study.evaluate.compare import PRIMARY, ScoredSeeds
from mer.study.evaluate.fold_scores import folds_json, folds_markdown, print_folds
from mer.study.evaluate.seeds import SeedResult, seed_report
from mer.terminal.spreadsheet import csv_text
from mer.training import Split
from mer.training.metrics import macro_words

_ALSO = ("macro_f1", "unweighted_accuracy", "ece")
_FEW = 10  # units; resampling fewer gives intervals that are too narrow


@dataclass(frozen=True)
class Evaluated:
    """One configuration whose seeds are all scored on test.

    Args:
        title: tells it from the others in comparisons.
        export: folder the configuration comes from.
        results: one per seed.
        test: the split that was scored.
        threshold_metric: by which the export chose a decision threshold; "" for one without.
    """

    title: str
    export: str
    config: TrialConfig
    results: list[SeedResult]
    test: Split
    class_names: list[str]
    threshold_metric: str = ""

    @property
    def scored(self) -> ScoredSeeds:
        """The seeds as a comparison reads them."""
        by_seed = {result.seed: result.test[f"test_{PRIMARY}"] for result in self.results if result.test}
        logits = [r.test_logits_NC for r in self.results if r.test_logits_NC is not None]
        unit = unit_of(self.config.data, "test")
        scored = np.flatnonzero(self.test.labels_N >= 0)
        ids = tuple(self.test.ids[row] for row in scored)
        return ScoredSeeds(self.title, self.export, by_seed, logits, ids, self.test.labels_N[scored], unit)

    def values(self, metric: str) -> list[float]:
        """Return the metric of every seed. Args: metric: without "test_"."""
        return [result.test[f"test_{metric}"] for result in self.results if result.test]


def results_json(one: Evaluated, comparisons: list[dict[str, Any]], command: str) -> dict[str, Any]:
    """Collect everything about one configuration, ready for JSON; `analysis.seeds` reads it.

    The number of independent units is under `test_dialogues`, `test_actors` ..., named by `unit`.
    """
    scored, unit_ids = one.scored, one.scored.unit_ids
    metrics = [*METRICS, "ece", "loss", *(f"{kind}_{name}" for kind in ("f1", "recall") for name in one.class_names)]
    summary = {}
    for metric in metrics:
        told = describe(one.values(metric))
        bootstrap = None
        if metric in METRICS:
            bootstrap = unit_bootstrap(metric, scored.logits, scored.labels_N, unit_ids)
        summary[f"test_{metric}"] = {**asdict(told), "bootstrap_interval": bootstrap}
    return {
        "format": 1,
        "method": method_name(one.config),
        "label": str(label_of(one.config)),
        "dataset": one.config.data.dataset,
        "task": one.config.data.label,
        "export": one.export,
        "seeds": seed_report(one.results),
        "summary": summary,
        **({"folds": folds_json(_folded_by(one), [r.folds for r in one.results])} if one.results[0].folds else {}),
        **({"macro_f1": words} if (words := macro_words("test", one.class_names, scored.labels_N)) else {}),
        "test_utterances": len(scored.ids),
        "unit": scored.unit.name,
        f"test_{scored.unit.name}s": len(set(unit_ids)),
        **({"at_threshold": at_thresholds(one.results, one.threshold_metric)} if one.threshold_metric else {}),
        "comparisons": comparisons,
        "command": command,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _folded_by(one: Evaluated) -> str:
    """Name what folds never cut."""
    rule = one.config.data.folds
    return str(rule.by) if rule is not None and rule.by is not None else one.scored.unit.name


def print_results(console: Console, one: Evaluated, told: dict[str, Any]) -> None:
    """Print the reference layout (method, seed, accuracy, weighted-F1), then mean, sd and intervals."""
    units = f"{told['unit']}s"
    sizes = f"{told['test_utterances']} utterances of {told[f'test_{units}']} {units}"
    table = Table(title=f"{one.title}: test, {sizes}", title_justify="left", box=None, pad_edge=False)
    headings = ("accuracy", "weighted-F1", "macro-F1", "UA", "ECE")
    for heading in ("method", "seed", *headings, "epoch"):
        table.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
    columns = ("accuracy", PRIMARY, *_ALSO)
    for result in one.results:
        assert result.test is not None
        cells = [f"{100 * result.test[f'test_{name}']:.2f}" for name in columns]
        table.add_row(told["method"], str(result.seed), *cells, str(result.epoch))
    table.add_section()
    summary = [told["summary"][f"test_{name}"] for name in columns]
    table.add_row("mean", f"n={len(one.results)}", *[f"{100 * s['mean']:.2f}" for s in summary])
    table.add_row("sample sd", "", *["-" if s["sd"] is None else f"{100 * s['sd']:.2f}" for s in summary])
    table.add_row("95 % over seeds (t)", "", *[_interval(s["t_interval"]) for s in summary])
    table.add_row(f"95 % over {units}", "", *[_interval(s["bootstrap_interval"]) for s in summary])
    console.print(table)
    if "folds" in told:
        print_folds(console, told["folds"])
    per_class = ", ".join(f"{name} {100 * told['summary'][f'test_f1_{name}']['mean']:.1f}" for name in one.class_names)
    console.print(f"mean F1 per class: {per_class}", highlight=False)
    if "at_threshold" in told:
        console.print(threshold_line(told["at_threshold"]), highlight=False)
    if "macro_f1" in told:
        console.print(f"note: {told['macro_f1']}", highlight=False)
    notes = [s["note"] for s in summary if s["note"]]
    if 1 < told[f"test_{units}"] < _FEW:
        notes.append(f"{told[f'test_{units}']} {units} are few: the interval over {units} is rough")
    for note in dict.fromkeys(notes):
        console.print(f"note: {note}", highlight=False)


def _sd(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _interval(bounds: Sequence[float] | None) -> str:
    return "-" if bounds is None else f"[{100 * bounds[0]:.2f}, {100 * bounds[1]:.2f}]"


def markdown(told: Sequence[dict[str, Any]]) -> str:
    """Write one or more evaluations as a Markdown table, with the sentences of their comparisons."""
    lines = ["| method | seed | accuracy | weighted-F1 |", "| :--- | ---: | ---: | ---: |"]
    for one in told:
        for row in one["seeds"]:
            scores = [f"{100 * row['test'][f'test_{name}']:.2f} %" for name in ("accuracy", PRIMARY)]
            lines.append(f"| {one['method']} | {row['seed']} | {' | '.join(scores)} |")
        accuracy, f1 = one["summary"]["test_accuracy"], one["summary"][f"test_{PRIMARY}"]
        cells = [f"{100 * s['mean']:.2f} ± {_sd(s['sd'])} %" for s in (accuracy, f1)]
        lines.append(f"| **{one['method']}, mean ± sd** | n = {f1['n']} | {' | '.join(cells)} |")
    for one in told:
        lines += folds_markdown(one["folds"]) if "folds" in one else []
    sentences = [comparison["verdict"] for one in told for comparison in one["comparisons"]]
    return "\n".join([*lines, "", *[f"- {sentence}" for sentence in sentences]]).rstrip() + "\n"


def write_results(folder: Path, told: dict[str, Any]) -> None:
    """Write `results.json`, `results.md` and `results.csv` into the folder of the seeds' study."""
    write_json(folder / "results.json", told)
    write_text(folder / "results.md", markdown([told]))
    metrics = list(told["seeds"][0]["test"])
    rows = [["method", "seed", "epoch", *metrics]]
    for row in told["seeds"]:
        rows.append([told["method"], row["seed"], row["epoch"], *[repr(row["test"][name]) for name in metrics]])
    write_text(folder / "results.csv", csv_text(rows))
