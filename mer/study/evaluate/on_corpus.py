"""Score a configuration on another corpus than it was trained on: `mer.evaluate EXPORT --on CORPUS`.

Each seed is trained on its own corpus as in every evaluation, then read on the other one, which chooses nothing. Labels
are mapped to classes; rows of other labels are counted and left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mer.checkpoints import load_tensors
from mer.checkpoints.export_folder import read_export
from mer.config import DataConfig, TrialConfig
from mer.data import normalise, open_corpus
from mer.data.registry import present_splits, unit_of
from mer.data.settings import data_config
from mer.errors import MerError
from mer.files import write_json
from mer.naming import method_name
from mer.statistics import METRICS, describe, unit_bootstrap
from mer.study.evaluate.label_map import LabelMap, label_map
from mer.study.evaluate.same_utterances import against_own
from mer.study.evaluate.seeds import SeedStudy, seed_results, train_seeds, with_root
from mer.study.preflight.feature_plan import SPLITS, ensure_config
from mer.study.preflight.run_options import RunOptions
from mer.study.space.spec import Resources
from mer.training import Scores, Split, build_run, majority_scores
from trainables.shared_table import as_split, as_training_data, read_table
from trainables.trial_files import BEST

_COLUMNS = {"accuracy": "accuracy", "weighted_f1": "weighted-F1", "macro_f1": "macro-F1", "unweighted_accuracy": "UA"}


@dataclass(frozen=True)
class OtherCorpus:
    """The corpus that a model is tried on, as the user names it.

    Args:
        root: folder, file, or YAML description.
        dataset: how it is read; None: as it looks.
        overrides: `data.key=value` texts.
        split: the one that is scored; None: test, where there is none dev.
        labels: which label is which class, as `--map` has it; None: by name.
    """

    root: Path
    dataset: str | None = None
    overrides: tuple[str, ...] = ()
    split: str | None = None
    labels: str | None = None


def evaluate_on(
    export: Path,
    other: OtherCorpus,
    seeds: Sequence[int],
    options: RunOptions,
    console: Console,
    *,
    data_root: str | None = None,
    resources: Resources | None = None,
) -> dict[str, Any]:
    """Train the export's configuration once per seed, score each on the other corpus, print and write the result.

    Returns: the content of `on-CORPUS-SPLIT.json` in the seeds' study.
    Raises: MerError for data that cannot be had, and labels that have nothing in common.
    """
    given = resources or Resources()
    config = with_root(read_export(export).config, data_root)
    data = _refused(config, data_config(other.root, other.dataset, other.overrides))
    split = other.split or next((one for one in ("test", "dev", "train") if one in present_splits(data)), "test")
    corpus = open_corpus(data, (split,))
    names = read_export(export).class_names
    mapped = label_map(names, corpus.label_names.get(data.label, ()), other.labels)
    study = SeedStudy(export.name, config)
    console.print(f"{study.name}: {method_name(config)}, seeds {' '.join(map(str, seeds))}")
    folder = train_seeds(study, seeds, options, console, given)
    results = seed_results(folder, study.study, seeds)

    elsewhere = config.model_copy(update={"data": data, "distill": None})  # a teacher says nothing of other corpora
    tables = {name: read_table(path) for name, path in ensure_config(elsewhere, (split,), options.cache)[split].items()}
    target = as_split(elsewhere, tables)
    own = ensure_config(config, SPLITS, options.cache)
    train, dev = ({name: read_table(path) for name, path in own[part].items()} for part in SPLITS)
    source, layers = as_training_data(config, train, dev)
    logits = []
    for result in results:
        run = build_run(config.model_copy(update={"seed": result.seed}), source, layers, given.device)
        run.load_weights(load_tensors(result.folder / BEST)[0])
        logits.append(run.predict(target))
    known = {normalise(u.text).casefold() for u in open_corpus(config.data, ("train",)).utterances("train")}
    seen_N = np.array([normalise(u.text).casefold() in known for u in corpus.utterances(split)])
    told = _told(logits, target, mapped, seen_N if "text" in config.encoders.present else None, data, split)
    names = _names(config.data, data)
    paired = against_own(results, logits, target, mapped, data, split, names)
    told = {
        "format": 1,
        "method": method_name(config),
        "trained_on": names[0],
        "on": names[1],
        "split": split,
        "export": str(export),
        "seeds": list(seeds),
        "dev": describe([result.dev["dev_weighted_f1"] for result in results]).mean,
        **told,
        **({"same_utterances": paired} if paired else {}),
        "command": options.command,
    }
    _print(console, told)
    where = folder / f"on-{re.sub(r'[^A-Za-z0-9_-]+', '-', names[1])}-{split}.json"
    write_json(where, told)
    console.print(f"written: {where}", soft_wrap=True)
    options.make_pages([folder], console)
    return told


def _refused(config: TrialConfig, data: DataConfig) -> DataConfig:
    """Return the data of the other corpus. Raises: MerError where this evaluation means nothing."""
    if config.data.task != "class" or data.task != "class":
        raise MerError("--on", "labels of classes alone can be mapped", allowed="data.task: class on both sides")
    if config.data.folds is not None:
        raise MerError(
            "--on", "this configuration has a model for each fold", then="search without data.folds, then export"
        )
    if (data.dataset, Path(data.root).resolve()) == (config.data.dataset, Path(config.data.root).resolve()):
        raise MerError("--on", f"{data.root} is the corpus that it was trained on", then="leave --on out")
    return data


def _names(own: DataConfig, other: DataConfig) -> tuple[str, str]:
    """Name two corpora, by their folders where they have one name: transcripts of a corpus are read as it is."""
    called = _called(own), _called(other)
    return called if called[0] != called[1] else (Path(own.root).stem, Path(other.root).stem)


def _called(data: DataConfig) -> str:
    """Name a corpus: tables of users that nobody has named are told apart by their file or folder."""
    return data.name or (Path(data.root).stem if data.dataset == "csv" else data.dataset)


def _told(
    logits: Sequence[np.ndarray],
    target: Split,
    mapped: LabelMap,
    seen_N: np.ndarray | None,
    data: DataConfig,
    split: str,
) -> dict[str, Any]:
    """Score every seed among the shared classes and among all, and without the texts that training has."""
    columns = [mapped.class_names.index(name) for name in mapped.shared]
    labels_N = mapped.numbers(target.labels_N, mapped.shared)
    free_N = mapped.numbers(target.labels_N, mapped.class_names)
    scores = [Scores(logits_NC[:, columns], labels_N, mapped.shared).as_metrics("on") for logits_NC in logits]
    free = [Scores(logits_NC, free_N, mapped.class_names).as_metrics("on") for logits_NC in logits]
    kept = np.flatnonzero(labels_N >= 0)
    if not len(kept):
        raise MerError("--map", f"no row of {split} has a label that is a class of the model", then="map its labels")
    unit = unit_of(data, split)
    units = [unit.of(target.ids[row]) for row in kept]
    bounds = {
        metric: unit_bootstrap(metric, [one[kept][:, columns] for one in logits], labels_N[kept], units)
        for metric in METRICS
    }
    guess = majority_scores(labels_N[kept], labels_N[kept], mapped.shared).as_metrics("on")
    told = {
        "classes": {"shared": list(mapped.shared), "map": dict(mapped.class_of), "unused": list(mapped.unused)},
        "rows": {"scored": len(kept), "of": len(labels_N), "left_out": mapped.counts(target.labels_N)},
        "by_seed": [{name: one[f"on_{name}"] for name in _COLUMNS} for one in scores],
        "summary": {
            name: {**asdict(describe([one[f"on_{name}"] for one in scores])), "bootstrap_interval": bounds[name]}
            for name in _COLUMNS
        },
        "all_classes": {name: describe([one[f"on_{name}"] for one in free]).mean for name in _COLUMNS},
        "majority": {name: guess[f"on_{name}"] for name in _COLUMNS},
        "unit": unit.name,
        "units": len(set(units)),
        "recall": {
            name: float(np.mean([one[f"on_recall_{name}"] for one in scores if f"on_recall_{name}" in one] or [0.0]))
            for name in mapped.shared
        },
    }
    if seen_N is not None and seen_N[kept].any():
        fresh_N = np.where(seen_N, -1, labels_N)
        left = logits if (fresh_N >= 0).any() else []
        again = [Scores(one[:, columns], fresh_N, mapped.shared).as_metrics("on") for one in left]
        told["texts_of_train"] = {
            "rows": int(seen_N[kept].sum()),
            "without": {
                name: describe([one[f"on_{name}"] for one in again]).mean if again else None for name in _COLUMNS
            },
        }
    return told


def _print(console: Console, told: dict[str, Any]) -> None:
    """Print what is scored, a row for each seed, and what to compare it with."""
    rows, classes = told["rows"], told["classes"]
    title = (
        f"trained on {told['trained_on']}, scored on {told['on']} ({told['split']}): {rows['scored']} of {rows['of']}"
    )
    table = Table(title=f"{title} rows", title_justify="left", box=None, pad_edge=False)
    for heading in ("", *_COLUMNS.values()):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)

    def row(name: str, values: Sequence[Any]) -> None:
        table.add_row(name, *["-" if value is None else f"{100 * value:.2f}" for value in values])

    for seed, one in zip(told["seeds"], told["by_seed"], strict=True):
        row(f"seed {seed}", [one[name] for name in _COLUMNS])
    table.add_section()
    summary = [told["summary"][name] for name in _COLUMNS]
    row("mean", [one["mean"] for one in summary])
    row("sd over seeds", [one["sd"] for one in summary])
    bounds = [one["bootstrap_interval"] for one in summary]
    told_bounds = ["-" if two is None else f"[{100 * two[0]:.2f}, {100 * two[1]:.2f}]" for two in bounds]
    table.add_row(f"95 % over {told['unit']}s", *told_bounds)
    if "texts_of_train" in told:
        row("without texts of train", [told["texts_of_train"]["without"][name] for name in _COLUMNS])
    row("any class answered", [told["all_classes"][name] for name in _COLUMNS])
    row("always the same class", [told["majority"][name] for name in _COLUMNS])
    console.print(table)
    pairs = ", ".join(f"{label} as {name}" if label != name else label for label, name in classes["map"].items())
    console.print(f"labels: {pairs}; the model chooses among these classes", highlight=False, soft_wrap=True)
    left = {label or "(no label)": count for label, count in rows["left_out"].items()}
    if left:
        words = ", ".join(f"{label} {count}" for label, count in left.items())
        console.print(f"left out, no class of the model: {words}", highlight=False, soft_wrap=True)
    if classes["unused"]:
        console.print(f"classes without a label here: {', '.join(classes['unused'])}", highlight=False, soft_wrap=True)
    if "texts_of_train" in told:
        seen = told["texts_of_train"]["rows"]
        console.print(f"texts that training has too, word for word: {seen} of {rows['scored']}", highlight=False)
    console.print(f"dev weighted-F1 on {told['trained_on']}: {100 * told['dev']:.2f}", highlight=False)
    if "same_utterances" in told:
        console.print(f"the same utterances as its own: {told['same_utterances']['verdict']}", soft_wrap=True)
