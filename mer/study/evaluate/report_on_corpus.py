"""Print the scores of seeds on another corpus, with what to compare them with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from mer.config import TargetKind
from mer.config.metrics import MAIN
from mer.study.evaluate.report_on_test import HEADINGS, interval
from mer.study.evaluate.target_map import WORDS
from mer.study.show.words import BAR, show

_BAR_WORDS: dict[TargetKind, str] = {
    "class": "always the same class", "regression": "always the mean", "multilabel": "always the usual labels",
}  # fmt: skip
_UNUSED: dict[TargetKind, str] = {
    "class": "classes without a label here", "regression": "numbers of the model that are not here",
    "multilabel": "labels of the model that are not here",
}  # fmt: skip


def print_scores(console: Console, told: Mapping[str, Any], task: TargetKind) -> None:
    """Print what is scored, a row for each seed, and what to compare it with.

    Args: told: content of `on-CORPUS-SPLIT.json`.
    """
    rows, names = told["rows"], list(told["summary"])
    title = (
        f"trained on {told['trained_on']}, scored on {told['on']} ({told['split']}): {rows['scored']} of {rows['of']}"
    )
    table = Table(title=f"{title} rows", title_justify="left", box=None, pad_edge=False)
    for heading in ("", *(HEADINGS[task][name] for name in names)):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)

    def row(name: str, values: Mapping[str, Any]) -> None:
        table.add_row(name, *[show(metric, values.get(metric)) for metric in names])

    for seed, one in zip(told["seeds"], told["by_seed"], strict=True):
        row(f"seed {seed}", one)
    table.add_section()
    summary = told["summary"]
    row("mean", {name: summary[name]["mean"] for name in names})
    row("sd over seeds", {name: summary[name]["sd"] for name in names})
    bounds = [interval(name, summary[name]["bootstrap_interval"]) for name in names]
    table.add_row(f"95 % over {told['unit']}s", *bounds)
    if "texts_of_train" in told:
        row("without texts of train", told["texts_of_train"]["without"])
    if "at_threshold" in told:
        row("at dev's thresholds", told["at_threshold"]["mean"])
    if "all_classes" in told:
        row("any class answered", told["all_classes"])
    row(_BAR_WORDS[task], told[BAR[task]])
    console.print(table)
    for line in _lines(told, task):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    main = MAIN[task]
    dev = f"dev {HEADINGS[task][main]} on {told['trained_on']}: {show(main, told['dev'])}"
    console.print(dev, highlight=False, markup=False)
    if "same_utterances" in told:
        said = f"the same utterances as its own: {told['same_utterances']['verdict']}"
        console.print(said, highlight=False, soft_wrap=True, markup=False)


def _lines(told: Mapping[str, Any], task: TargetKind) -> list[str]:
    """Say which name stands for which, what is left out, and how much of it training has seen."""
    is_class, rows = task == "class", told["rows"]
    named = told["classes" if is_class else "targets"]
    word = "label" if is_class else WORDS[task]
    pairs = ", ".join(f"{theirs} as {ours}" if theirs != ours else theirs for theirs, ours in named["map"].items())
    further = "; the model chooses among these classes" if is_class else ""
    if "scale" in named:
        further = f"; {named['scale']['words']}"
    lines = [f"{word}s: {pairs}{further}"]
    if rows["left_out"]:
        words = ", ".join(f"{name or f'(no {word})'} {count}" for name, count in rows["left_out"].items())
        lines.append(f"left out, {'no class' if is_class else 'nothing'} of the model: {words}")
    if named["unused"]:
        lines.append(f"{_UNUSED[task]}: {', '.join(named['unused'])}")
    if told.get("each"):
        kind = "ccc" if task == "regression" else "f1"
        each = ", ".join(f"{name} {show(kind, value)}" for name, value in told["each"].items())
        lines.append(f"mean {HEADINGS[task].get(kind, 'F1')} of each: {each}")
    if "texts_of_train" in told:
        seen = told["texts_of_train"]["rows"]
        lines.append(f"texts that training has too, word for word: {seen} of {rows['scored']}")
    return lines
