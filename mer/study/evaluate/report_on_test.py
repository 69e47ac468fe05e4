"""Print and write an evaluation: a row per seed, mean and spread, comparisons in plain sentences."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mer.config import TargetKind, TrialConfig
from mer.config.metrics import MAIN, OF_EACH
from mer.data.registry import unit_of
from mer.files import write_json, write_text
from mer.naming import label_of, method_name
from mer.statistics import Scored, describe, unit_bootstrap
from mer.study.evaluate.at_temperature import at_temperatures
from mer.study.evaluate.at_threshold import at_label_thresholds, at_thresholds, threshold_line
from mer.study.evaluate.compare import ScoredSeeds
from mer.study.evaluate.fold_scores import folds_json, folds_markdown, in_words, print_folds
from mer.study.evaluate.seed_table import SeedTable
from mer.study.evaluate.seeds import SeedResult, seed_report
from mer.study.show.words import show
from mer.terminal.spreadsheet import csv_text
from mer.training import Split
from mer.training.labels import has_label
from mer.training.metrics import macro_words

HEADINGS: dict[TargetKind, dict[str, str]] = {
    "class": {
        "accuracy": "accuracy", "weighted_f1": "weighted-F1", "macro_f1": "macro-F1", "unweighted_accuracy": "UA",
        "ece": "ECE",
    },
    "regression": {
        "ccc": "CCC", "pearson": "Pearson", "mae": "MAE", "acc2_has0": "Acc-2 has0", "acc2_non0": "Acc-2 non0",
        "f1_non0": "F1 non0", "acc2": "Acc-2", "f1": "F1", "acc3": "Acc-3", "acc5": "Acc-5", "acc7": "Acc-7",
    },
    "multilabel": {
        "macro_f1": "macro-F1", "micro_f1": "micro-F1", "samples_f1": "samples-F1", "jaccard": "Jaccard",
        "accuracy": "all right",
    },
}  # fmt: skip
_IN_MARKDOWN: dict[TargetKind, tuple[str, ...]] = {
    "class": ("accuracy", "weighted_f1"), "regression": ("mae", "pearson", "ccc"),
    "multilabel": ("micro_f1", "macro_f1"),
}  # fmt: skip
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
        calibrated: whether the export has a temperature.
    """

    title: str
    export: str
    config: TrialConfig
    results: list[SeedResult]
    test: Split
    class_names: list[str]
    threshold_metric: str = ""
    calibrated: bool = False

    @property
    def scored(self) -> ScoredSeeds:
        """The seeds as a comparison reads them."""
        data = self.config.data
        by_seed = {result.seed: result.test[f"test_{MAIN[data.task]}"] for result in self.results if result.test}
        logits = [r.test_logits_NC for r in self.results if r.test_logits_NC is not None]
        unit = unit_of(data, "test")
        rows = np.flatnonzero(has_label(self.test.labels_N))
        ids, how = tuple(self.test.ids[row] for row in rows), Scored(data.task, data.range)
        return ScoredSeeds(self.title, self.export, by_seed, logits, ids, self.test.labels_N[rows], unit, how)

    def values(self, metric: str) -> list[float]:
        """Return the metric of every seed. Args: metric: without "test_"."""
        return [result.test[f"test_{metric}"] for result in self.results if result.test]


def results_json(one: Evaluated, comparisons: list[dict[str, Any]], command: str) -> dict[str, Any]:
    """Collect everything about one configuration, ready for JSON; `analysis.seeds` reads it.

    The number of independent units is under `test_dialogues`, `test_actors` ..., named by `unit`.
    """
    scored, unit_ids = one.scored, one.scored.unit_ids
    task, of_test = one.config.data.task, set(one.results[0].test or {})
    of_each = [f"{kind}_{name}" for kind in OF_EACH[task] for name in one.class_names]
    known = [*scored.scored.metrics, *(name for name in ("ece", "loss")), *of_each]
    metrics = [name for name in known if f"test_{name}" in of_test]
    summary = {}
    for metric in metrics:
        told = describe(one.values(metric))
        bootstrap = None
        if metric in scored.scored.metrics:
            bootstrap = unit_bootstrap(metric, scored.logits, scored.labels_N, unit_ids, scored=scored.scored)
        summary[f"test_{metric}"] = {**asdict(told), "bootstrap_interval": bootstrap}
    words = macro_words("test", one.class_names, scored.labels_N) if task == "class" else ""
    has_folds = bool(one.results[0].folds)  # dev of one fold is test of another: no threshold may be chosen there
    return {
        "format": 1,
        "method": method_name(one.config),
        "label": str(label_of(one.config)),
        "dataset": one.config.data.dataset,
        "task": one.config.data.label,
        **({"kind": task} if task != "class" else {}),
        "export": one.export,
        "seeds": seed_report(one.results),
        "summary": summary,
        **({"folds": folds_json(_folded_by(one), [r.folds for r in one.results])} if has_folds else {}),
        **({"macro_f1": words} if words else {}),
        "test_utterances": len(scored.ids),
        "unit": scored.unit.name,
        f"test_{scored.unit.name}s": len(set(unit_ids)),
        **({"unit_of_row": _numbered(unit_ids)} if scored.unit.name != "dialogue" else {}),  # an id tells its dialogue
        **({"at_threshold": at_thresholds(one.results, one.threshold_metric)} if one.threshold_metric else {}),
        **({"at_threshold": at_label_thresholds(one.results)} if task == "multilabel" and not has_folds else {}),
        **({"at_temperature": at_temperatures(one.results)} if one.calibrated else {}),
        "comparisons": comparisons,
        "command": command,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _numbered(unit_ids: Sequence[str]) -> str:
    """Number the units in the order of the rows, so that others can resample them without their names: "0 0 1 0"."""
    numbers: dict[str, int] = {}
    return " ".join(str(numbers.setdefault(unit, len(numbers))) for unit in unit_ids)


def _folded_by(one: Evaluated) -> str:
    """Name what folds never cut."""
    rule = one.config.data.folds
    return str(rule.by) if rule is not None and rule.by is not None else one.scored.unit.name


def print_results(console: Console, one: Evaluated, told: dict[str, Any]) -> None:
    """Print the reference layout (method, seed, accuracy, weighted-F1), then mean, sd and intervals."""
    units = f"{told['unit']}s"
    sizes = f"{told['test_utterances']} utterances of {told[f'test_{units}']} {units}"
    known = HEADINGS[one.config.data.task]
    columns = [name for name in known if f"test_{name}" in told["summary"]]
    summary = [told["summary"][f"test_{name}"] for name in columns]
    named = list(zip(columns, summary, strict=True))
    scored = [(result, result.test) for result in one.results if result.test is not None]
    SeedTable(
        title=f"{one.title}: test, {sizes}",
        method=told["method"],
        metrics=[known[name] for name in columns],
        seeds=[(r.seed, [show(name, test[f"test_{name}"]) for name in columns], r.epoch) for r, test in scored],
        spreads=[
            ("mean", f"n={len(one.results)}", [show(name, s["mean"]) for name, s in named]),
            ("sample sd", "", [show(name, s["sd"]) for name, s in named]),
            ("95 % over seeds (t)", "", [interval(name, s["t_interval"]) for name, s in named]),
            (f"95 % over {units}", "", [interval(name, s["bootstrap_interval"]) for name, s in named]),
        ],
    ).print(console)
    if "folds" in told:
        print_folds(console, told["folds"])
    if each := _each(one, told):
        console.print(each, highlight=False)
    if "at_threshold" in told:
        console.print(threshold_line(told["at_threshold"]), highlight=False)
    if "at_temperature" in told:
        console.print(told["at_temperature"]["words"], highlight=False)
    if "macro_f1" in told:
        console.print(f"note: {told['macro_f1']}", highlight=False)
    notes = [s["note"] for s in summary if s["note"]]
    if 1 < told[f"test_{units}"] < _FEW:
        notes.append(f"{told[f'test_{units}']} {units} are few: the interval over {units} is rough")
    for note in dict.fromkeys(notes):
        console.print(f"note: {note}", highlight=False)


def _each(one: Evaluated, told: dict[str, Any]) -> str:
    """Say how well each class, number or label is predicted; "" for a single number."""
    task = one.config.data.task
    kind, what = ("ccc", "CCC of each number") if task == "regression" else ("f1", "F1 per class")
    what = "F1 of each label" if task == "multilabel" else what
    means = {name: told["summary"].get(f"test_{kind}_{name}", {}).get("mean") for name in one.class_names}
    told_of = [
        f"{name} {mean:.3f}" if task == "regression" else f"{name} {100 * mean:.1f}"
        for name, mean in means.items()
        if mean is not None
    ]
    return f"mean {what}: {', '.join(told_of)}" if told_of else ""


def interval(metric: str, bounds: Sequence[float] | None) -> str:
    """Write both ends of an interval; "-" for none."""
    return "-" if bounds is None else f"[{show(metric, bounds[0])}, {show(metric, bounds[1])}]"


def markdown(told: Sequence[dict[str, Any]]) -> str:
    """Write one or more evaluations of one kind as a Markdown table, with the sentences of their comparisons."""
    kind: TargetKind = told[0].get("kind", "class")
    names = _IN_MARKDOWN[kind]
    head = " | ".join(HEADINGS[kind][name] for name in names)
    lines = [f"| method | seed | {head} |", f"| :--- | ---: |{' ---: |' * len(names)}"]
    for one in told:
        for row in one["seeds"]:
            scores = [in_words(name, row["test"][f"test_{name}"]) for name in names]
            lines.append(f"| {one['method']} | {row['seed']} | {' | '.join(scores)} |")
        summary = {name: one["summary"][f"test_{name}"] for name in names}
        cells = [f"{show(name, s['mean'])} ± {in_words(name, s['sd'])}" for name, s in summary.items()]
        count = next(iter(summary.values()))["n"]
        lines.append(f"| **{one['method']}, mean ± sd** | n = {count} | {' | '.join(cells)} |")
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
