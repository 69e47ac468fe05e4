"""Train one configuration over several seeds, then score each seed on test once.

The seeds form a study of their own (`eval-...` in the studies folder) whose only parameter is the seed. It resumes,
tracks and shares features as every study does. The test split is opened after every seed was trained and its epoch
chosen on dev. Each seed's test scores are written once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict
from rich.console import Console

from mer.checkpoints import load_tensors
from mer.config import DataConfig, TrialConfig, flatten
from mer.data.folds import Folds
from mer.data.registry import folds_of
from mer.errors import MerError
from mer.files import sha256_file, sha256_json, write_json, write_text
from mer.naming import method_name
from mer.places import home
from mer.read_files import read_model
from mer.study.evaluate.fold_scores import FoldResult, score_folds, test_of_folds
from mer.study.folder.artifacts import predictions_csv
from mer.study.folder.recorded import read_scores
from mer.study.paths import TEST, TEST_PREDICTIONS, is_study, trial_folder
from mer.study.preflight.feature_plan import SPLITS, ensure_config, feature_name, trainable_of
from mer.study.preflight.run_options import RunOptions
from mer.study.runner import run_study
from mer.study.search.journal import readable_journal
from mer.study.search.stored_trial import params_of
from mer.study.space.keys import RESERVED
from mer.study.space.params import IntParam
from mer.study.space.spec import Budget, Resources, Sampler, Scheduler, StudyObjective, StudySpec
from mer.training import Split, TrainingData, build_run
from trainables.fold_data import Tables, data_of_folds
from trainables.shared_table import as_split, as_training_data, read_table
from trainables.trial_files import BEST

_LARGEST_SEED = 2**31 - 1
SEED_PARAM = IntParam.model_validate({"int": [0, _LARGEST_SEED]})


class _Recorded(BaseModel):
    """What test.json says of one seed."""

    model_config = ConfigDict(strict=True)
    metrics: dict[str, float]
    features: str
    folds: list[FoldResult] = []


@dataclass(frozen=True)
class SeedResult:
    """Scores of one seed.

    Args:
        number: of its trial.
        epoch: the one that dev chose.
        dev: metrics at that epoch.
        test: metrics on test; None before test was read.
        test_logits_NC: class scores on test; None before test was read.
        folder: of the trial.
        folds: on the test part of each fold, where there are folds; `test` then has their means.
    """

    seed: int
    number: int
    epoch: int
    dev: dict[str, float]
    test: dict[str, float] | None
    test_logits_NC: np.ndarray | None
    folder: Path
    folds: tuple[FoldResult, ...] = ()


@dataclass(frozen=True)
class SeedStudy:
    """A configuration and the study in which its seeds are trained.

    Args:
        name: readable, e.g. the export's folder name.
        config: its seed does not matter.
    """

    name: str
    config: TrialConfig

    @property
    def study(self) -> str:
        """Name of the study, derived from the configuration alone. Two exports with equal configurations share their
        seeds, so that no seed is trained or scored on test twice."""
        identity = self.config.model_dump(mode="json", exclude={"seed": True, "data": {"root"}})
        method = method_name(self.config).split("(")[0].replace("+", "").replace(" ", "-")
        return f"eval-{self.config.data.corpus_name}-{method}-{sha256_json(identity)[:10]}"

    def spec(self, seeds: Sequence[int], known: Sequence[int], resources: Resources) -> StudySpec:
        """Describe a study that tries the `known` seeds and then the others of `seeds`."""
        reserved = {*RESERVED, "seed"}
        wanted = list(dict.fromkeys([*known, *seeds]))
        training = self.config.training
        return StudySpec(
            study=self.study,
            description=f"Seed repeats of {self.name}; the epoch is chosen on dev.",
            trainable=trainable_of(self.config),
            objective=(StudyObjective(metric=training.metric, mode=training.mode),),
            budget=Budget(trials=len(wanted), epochs=training.epochs),
            sampler=Sampler(kind="random"),
            scheduler=Scheduler(kind="none"),
            resources=resources,
            fixed={k: v for k, v in flatten(self.config.model_dump(mode="json")).items() if k not in reserved},
            params={"seed": SEED_PARAM},
            points=tuple({"seed": seed} for seed in wanted),
        )


def train_seeds(
    study: SeedStudy, seeds: Sequence[int], options: RunOptions, console: Console, resources: Resources
) -> Path:
    """Train the seeds that have no result yet and return the study's folder. Reads train and dev only."""
    folder = options.studies / study.study
    known = known_seeds(folder, study.study)
    return run_quietly(study.spec(seeds, known, resources), options, console)


def run_quietly(spec: StudySpec, options: RunOptions, console: Console) -> Path:
    """Begin a study that an evaluation needs, or go on with it, and return its folder."""
    folder = options.studies / spec.study
    again = RunOptions(
        options.studies,
        options.cache,
        resume=folder.exists(),
        address=options.address,
        command=options.command,
        quiet=True,
    )
    run_study(spec, again, console)
    return folder


def known_seeds(folder: Path, name: str) -> list[int]:
    """List the seeds that have a trial number, in the order of their numbers."""
    if not is_study(folder):
        return []
    with readable_journal(folder, name) as found:
        trials = found.get_trials()
    # A waiting trial has drawn nothing yet: its seed is in the parameters it was enqueued with.
    drawn = [params_of(trial) or trial.system_attrs.get("fixed_params", {}) for trial in trials]
    return [int(params["seed"]) for params in drawn if "seed" in params]


def seed_results(folder: Path, name: str, seeds: Sequence[int]) -> list[SeedResult]:
    """Read the results of the given seeds, in that order. Raises: MerError when one has failed."""
    with readable_journal(folder, name) as found:
        trials = {int(params_of(trial)["seed"]): trial for trial in found.get_trials() if "seed" in trial.params}
    results = []
    for seed in seeds:
        ending = trials[seed].user_attrs.get("ending", {}) if seed in trials else {}
        if ending.get("outcome") != "finished":
            reason = ending.get("reason") or "it was not finished"
            then = (
                f"mend the cause, move {folder} away, then run the same command again (all its seeds are trained anew)"
            )
            raise MerError(f"seed {seed}", f"has no result: {reason}", then=then)
        best, number = ending["best"], trials[seed].number
        place = trial_folder(folder, number)
        dev = {key: value for key, value in best.items() if key.startswith("dev_")}
        metrics, logits, of_folds = None, None, list[FoldResult]()
        if (place / TEST).exists():
            scored, recorded = read_scores(place / TEST_PREDICTIONS), read_model(place / TEST, _Recorded)
            metrics = scored.as_metrics("test") | recorded.metrics  # an older version recorded fewer
            logits, of_folds = scored.logits_NC, recorded.folds
        results.append(SeedResult(seed, number, int(best["epoch"]), dev, metrics, logits, place, tuple(of_folds)))
    return results


def evaluate_on_test(
    results: Sequence[SeedResult], config: TrialConfig, cache: Path, *, device: str = "cpu"
) -> tuple[Split, TrainingData]:
    """Read the test split and score every seed that has no test scores yet.

    Search and evaluation read test data nowhere else.

    Returns: the split, and the data that the seeds were trained on.
    Raises: MerError when recorded scores were made with another test split than the present one.
    """
    paths = ensure_config(config, (*SPLITS, "test"), cache)
    tables = {split: {m: read_table(path) for m, path in files.items()} for split, files in paths.items()}
    test_name = feature_name(paths["test"])
    if (folds := folds_of(config.data)) is not None:
        return _evaluate_folds(results, config, tables["test"], folds, test_name, device)
    data, layers = as_training_data(config, tables["train"], tables["dev"])
    test = as_split(config, tables["test"])
    for result in results:
        if result.test is not None:
            refuse_other_features(result, test_name)
            continue
        run = build_run(config.model_copy(update={"seed": result.seed}), data, layers, device)
        best = result.folder / BEST
        tensors, _ = load_tensors(best)
        run.load_weights(tensors)
        scores = run.scores(run.predict(test), test)
        write_text(result.folder / TEST_PREDICTIONS, predictions_csv(scores, test.ids))
        write_json(
            result.folder / TEST,
            {
                "seed": result.seed,
                "metrics": scores.as_metrics("test"),
                "weights_sha256": sha256_file(best),
                "features": test_name,
            },
        )
    return test, data


def _evaluate_folds(
    results: Sequence[SeedResult], config: TrialConfig, tables: Tables, folds: Folds, features: str, device: str
) -> tuple[Split, TrainingData]:
    """Score every seed that has no test scores yet on the test part of each fold; returns all parts as one split."""
    for result in results:
        if result.test is not None:
            refuse_other_features(result, features)
            continue
        own = config.model_copy(update={"seed": result.seed})
        score_folds(own, result.folder, tables, folds, features, device)
    return test_of_folds(config, tables, folds), data_of_folds(config, tables, folds)[0][0]


def on_all_folds(config: TrialConfig) -> TrialConfig:
    """Return the configuration with every fold, also where its search trained some of them."""
    folds = config.data.folds
    if folds is None or folds.search_folds is None:
        return config
    whole = folds.model_copy(update={"search_folds": None})
    return config.model_copy(update={"data": config.data.model_copy(update={"folds": whole})})


def refuse_other_features(result: SeedResult, now: str) -> None:
    """Refuse recorded test scores that were made with other data or another backbone than those here now."""
    then = read_model(result.folder / TEST, _Recorded).features
    if then != now:
        raise MerError(
            result.folder / TEST,
            f"these scores are of other test data or another backbone ({then}, now {now})",
            then=f"bring the former data back, or move {result.folder.parent.parent} away and evaluate anew",
        )


def with_root(config: TrialConfig, root: str | None) -> TrialConfig:
    """Return the configuration with its data at `root`; None leaves them where they were.

    Raises: MerError where there are none.
    """
    if root is not None:
        config = config.model_copy(update={"data": DataConfig(**{**config.data.model_dump(), "root": root})})
    if not home(config.data.root).exists():
        raise MerError(
            config.data.root,
            "there is no such file or folder",
            allowed="the data of the configuration",
            then="run from where the study was run, or say where they are: --data-root FOLDER_OR_FILE",
        )
    return config


def seed_report(results: Sequence[SeedResult]) -> list[dict[str, Any]]:
    """Return one dictionary per seed, as `results.json` holds them."""
    return [{"seed": r.seed, "epoch": r.epoch, "dev": r.dev, "test": r.test, "trial": r.number} for r in results]
