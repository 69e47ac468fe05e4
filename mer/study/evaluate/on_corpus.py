"""Score a configuration on another corpus than it was trained on: `mer.evaluate EXPORT --on CORPUS`.

Each seed is trained on its own corpus as in every evaluation, then read on the other one, which chooses nothing. Labels
are mapped to classes, numbers to numbers; what the model has nothing for is counted and left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mer.checkpoints import load_tensors
from mer.checkpoints.export_folder import read_export
from mer.config import DataConfig, TrialConfig
from mer.config.metrics import MAIN
from mer.data import Corpus, normalise, open_corpus
from mer.data.corpus_file import is_corpus_file
from mer.data.registry import present_splits, unit_of
from mer.data.settings import data_config
from mer.errors import MerError
from mer.files import write_json
from mer.naming import method_name
from mer.statistics import describe
from mer.study.evaluate.at_threshold import dev_thresholds
from mer.study.evaluate.corpus_scores import Mapped, scores_on
from mer.study.evaluate.label_map import label_map
from mer.study.evaluate.report_on_corpus import print_scores
from mer.study.evaluate.same_utterances import against_own
from mer.study.evaluate.seeds import SeedStudy, seed_results, train_seeds, with_root
from mer.study.evaluate.target_map import target_map
from mer.study.preflight.feature_plan import SPLITS, ensure_config
from mer.study.preflight.run_options import RunOptions
from mer.study.space.spec import Resources
from mer.training import build_run
from trainables.shared_table import as_split, as_training_data, read_table
from trainables.trial_files import BEST

_OF_TARGETS = ("targets", "range", "levels", "separator")  # how numbers and labels are read


@dataclass(frozen=True)
class OtherCorpus:
    """The corpus that a model is tried on, as the user names it.

    Args:
        root: folder, file, or YAML description.
        dataset: how it is read; None: as it looks.
        overrides: `data.key=value` texts.
        split: the one that is scored; None: test, where there is none dev.
        labels: which label is which class, or which number which, as `--map` has it; None: by name.
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
    own, task = config.data, config.data.task
    data = _refused(config, data_of(own, other))
    split = other.split or next((one for one in ("test", "dev", "train") if one in present_splits(data)), "test")
    corpus = open_corpus(data, (split,))
    names, theirs = read_export(export).class_names, corpus.label_names.get(data.label, ())
    mapped: Mapped
    if task == "class":
        mapped = label_map(names, theirs, other.labels)
    else:
        mapped = target_map(task, names, theirs, other.labels, own=own.range, other=data.range)
    study = SeedStudy(export.name, config)
    console.print(f"{study.name}: {method_name(config)}, seeds {' '.join(map(str, seeds))}")
    folder = train_seeds(study, seeds, options, console, given)
    results = seed_results(folder, study.study, seeds)

    elsewhere = config.model_copy(update={"data": data, "distill": None})  # a teacher says nothing of other corpora
    tables = {name: read_table(path) for name, path in ensure_config(elsewhere, (split,), options.cache)[split].items()}
    target = as_split(elsewhere, tables)
    files = ensure_config(config, SPLITS, options.cache)
    train, dev = ({name: read_table(path) for name, path in files[part].items()} for part in SPLITS)
    source, layers = as_training_data(config, train, dev)
    logits = []
    for result in results:
        run = build_run(config.model_copy(update={"seed": result.seed}), source, layers, given.device)
        run.load_weights(load_tensors(result.folder / BEST)[0])
        logits.append(run.predict(target))
    told = scores_on(
        logits,
        target,
        mapped,
        own,
        unit_of(data, split),
        split=split,
        seen_N=_seen_in_training(own, corpus, split) if "text" in config.encoders.present else None,
        above=[dev_thresholds(result).above for result in results] if task == "multilabel" else (),
    )
    called = _names(own, data)
    paired = against_own(results, logits, target, mapped, data, split, called)
    told = {
        "format": 1,
        **({} if task == "class" else {"kind": task}),
        "method": method_name(config),
        "trained_on": called[0],
        "on": called[1],
        "split": split,
        "export": str(export),
        "seeds": list(seeds),
        "dev": describe([result.dev[f"dev_{MAIN[task]}"] for result in results]).mean,
        **told,
        **({"same_utterances": paired} if paired else {}),
        "command": options.command,
    }
    print_scores(console, told, task)
    where = folder / f"on-{re.sub(r'[^A-Za-z0-9_-]+', '-', called[1])}-{split}.json"
    write_json(where, told)
    console.print(f"written: {where}", soft_wrap=True)
    options.make_pages([folder], console)
    return told


def _seen_in_training(own: DataConfig, corpus: Corpus, split: str) -> np.ndarray:
    """Say of each utterance of another corpus, bool (N,), whether the model was trained on its text."""
    known = {normalise(u.text).casefold() for u in open_corpus(own, ("train",)).utterances("train")}
    return np.array([normalise(u.text).casefold() in known for u in corpus.utterances(split)])


def data_of(own: DataConfig, other: OtherCorpus) -> DataConfig:
    """Read the other corpus for the model's task; a table of users also for its columns, where nobody names others.

    Args: own: data of the model.
    Raises: MerError for a key that is none.
    """
    said = {text.partition("=")[0].strip() for text in other.overrides}
    described = is_corpus_file(other.root) or is_corpus_file(other.dataset)
    keys = [key for key in _OF_TARGETS if key != "targets" or "data.columns.label" not in said]

    def completed(*keys: str) -> DataConfig:
        dumped = {} if described or own.task == "class" else own.model_dump(mode="json")
        usual = [key for key in keys if key in dumped and f"data.{key}" not in said]
        typed = [f"data.{key}={json.dumps(dumped[key])}" for key in usual]
        return data_config(other.root, other.dataset, [*typed, *other.overrides])

    data = completed("task")
    return completed("task", *keys) if data.dataset == "csv" and data.task == own.task else data


def _refused(config: TrialConfig, data: DataConfig) -> DataConfig:
    """Return the data of the other corpus. Raises: MerError where this evaluation means nothing."""
    task = config.data.task
    if data.task != task:
        raise MerError(
            "--on",
            f"{data.root} is read for data.task {data.task}, and the model has {task}",
            allowed="one task on both sides",
            then=f"--on-set data.task={task}",
        )
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
