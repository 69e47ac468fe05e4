"""Evaluate an ensemble over groups of new seeds: each seed that is given stands for a group of as many runs as members.

In the group of seed s, a member is trained with seed s; further members of the same configuration, which would be the
same run, with seeds that are derived from s and their place. So groups share no run, every group is an ensemble as the
exported one, and its first run is the one that a single model of that seed has: both can be compared by seed. Every run
of every group is trained before test is read, once per run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mer.checkpoints.ensemble_folder import Ensemble, read_ensemble
from mer.checkpoints.export_folder import Export
from mer.errors import MerError
from mer.files import sha256_json, write_text
from mer.naming import method_name
from mer.study.evaluate.exports import require_same_data, require_test_split
from mer.study.evaluate.mlflow_scores import log_test_scores
from mer.study.evaluate.report_on_dev import report_dev
from mer.study.evaluate.report_on_test import Evaluated, print_results, results_json, write_results
from mer.study.evaluate.seeds import (
    SeedResult,
    SeedStudy,
    evaluate_on_test,
    seed_results,
    train_seeds,
    with_root,
)
from mer.study.folder.artifacts import predictions_csv
from mer.study.folder.recorded import read_predictions, read_scores
from mer.study.paths import ARTIFACTS, DEV_PREDICTIONS, TEST_PREDICTIONS, trial_folder
from mer.study.preflight.feature_plan import ensure_config
from mer.study.preflight.run_options import RunOptions
from mer.study.space.spec import Resources
from mer.training import AnyScores, FusedSplit, Split, derive_seed, scores_of
from mer.training.calibration import fit_temperature
from mer.training.ensemble import mean_outputs
from mer.training.number_scores import RegressionScores
from trainables.shared_table import as_split, read_table


@dataclass(frozen=True)
class _Part:
    """A member: its export, the study in which its runs are trained, and its place among members of that study."""

    export: Export
    study: SeedStudy
    place: int

    def seed(self, group: int) -> int:
        """The seed of this member's run in a group."""
        return group if not self.place else derive_seed("ensemble", group, self.place) % 2**31


@dataclass(frozen=True)
class _Runs:
    """What the runs of a study gave: their results by seed, and the splits that they were scored on (test: None before
    it was read)."""

    results: dict[int, SeedResult]
    dev: Split
    test: Split | None = None


def evaluate_ensemble(
    folder: Path,
    seeds: Sequence[int],
    options: RunOptions,
    console: Console,
    *,
    data_root: str | None = None,
    resources: Resources | None = None,
    dev_only: bool = False,
) -> Evaluated | None:
    """Train every member's configuration for every group, score the groups' means on test, print and write them.

    Writes `results.json`, `.md` and `.csv` into `eval-ensemble-...` among the studies.

    Args: seeds: one for each group; the others are those of `evaluate_exports`.
    Returns: the scores; None with `dev_only`.
    Raises: MerError when data are missing or not those of the search, or a run failed.
    """
    given, ensemble = resources or Resources(), read_ensemble(folder)
    parts = _parts(ensemble, data_root)
    for part in parts:
        require_same_data(part.export, part.study, options)
        if not dev_only:
            require_test_split(part.study)
    wanted: dict[str, tuple[SeedStudy, list[int]]] = {}
    for group in seeds:
        for part in parts:
            wanted.setdefault(part.study.study, (part.study, []))[1].append(part.seed(group))
    method = f"ensemble of {len(parts)}: {' + '.join(_counted([method_name(part.study.config) for part in parts]))}"
    console.print(f"{folder.name}: {method}, groups {' '.join(map(str, seeds))}", soft_wrap=True, highlight=False)
    for name, (study, of_study) in wanted.items():
        train_seeds(study, of_study, options, console, given)
        seed_results(options.studies / name, name, of_study)  # a failed run is refused before test is read
    ours = options.studies / _study_name(parts)
    runs = {
        name: _Runs(_results(options, name, of_study), _dev_of(study, options))
        for name, (study, of_study) in wanted.items()
    }
    if dev_only:
        results = [_group(ensemble, parts, number, seed, ours, runs) for number, seed in enumerate(seeds)]
        report_dev(parts[0].study, folder, results, ours, options.command, console, title=folder.name, method=method)
        options.make_pages([ours], console)
        return None
    for name, (study, of_study) in wanted.items():
        before = list(runs[name].results.values())
        test, _ = evaluate_on_test(before, study.config, options.cache, device=given.device)
        found = _results(options, name, of_study)
        runs[name] = _Runs(found, runs[name].dev, test)
        if trouble := log_test_scores(options.studies / name, name, list(found.values())):
            console.print(f"note: {trouble}", highlight=False, markup=False, soft_wrap=True)
    results = [_group(ensemble, parts, number, seed, ours, runs) for number, seed in enumerate(seeds)]
    scored = runs[parts[0].study.study].test
    assert scored is not None
    done = Evaluated(
        folder.name,
        str(folder),
        parts[0].study.config,
        results,
        scored,
        list(ensemble.class_names),
        str(ensemble.provenance.get("threshold", {}).get("metric", "")),
        ensemble.temperature is not None,
    )
    told = results_json(done, [], options.command)
    told |= {"method": method, "label": method, "ensemble": _told(parts, seeds)}
    write_results(ours, told)
    print_results(console, done, told)
    written = f"written: {ours / 'results.json'} (and .md, .csv); the card of an ensemble shows dev alone"
    console.print(written, soft_wrap=True)
    options.make_pages([ours], console)
    return done


def _parts(ensemble: Ensemble, data_root: str | None) -> list[_Part]:
    """Give every member its study; configurations that differ by the seed alone share one. Raises: MerError."""
    parts: list[_Part] = []
    for member in ensemble.members:
        if member.config.data.folds is not None:
            raise MerError(
                ensemble.folder,
                f"its member {member.title} is the model of one fold",
                allowed="an ensemble of models without data.folds",
                then="evaluate the folds themselves: python -m mer.evaluate with the member's own export",
            )
        study = SeedStudy(member.title, with_root(member.config, data_root))
        parts.append(_Part(member, study, sum(part.study.study == study.study for part in parts)))
    return parts


def _results(options: RunOptions, name: str, seeds: Sequence[int]) -> dict[int, SeedResult]:
    return {result.seed: result for result in seed_results(options.studies / name, name, seeds)}


def _group(
    ensemble: Ensemble,
    parts: Sequence[_Part],
    number: int,
    seed: int,
    ours: Path,
    runs: dict[str, _Runs],
) -> SeedResult:
    """Average the runs of one group on dev, and on test where that was read, and write what they say together."""
    of = [runs[part.study.study] for part in parts]
    found = [one.results[part.seed(seed)] for one, part in zip(of, parts, strict=True)]
    place, data = trial_folder(ours, number), ensemble.data
    temperatures = [_temperature(part, result) for part, result in zip(parts, found, strict=True)]

    def together(file: str | Path, splits: Sequence[Split], to: Path) -> AnyScores:
        read = [read_predictions(result.folder / file) for result in found]
        ids, labels_N, _ = read[0]
        if any(other != ids for other, _, _ in read):
            raise MerError(found[0].folder, "runs of one group were scored on different utterances")
        there = [_there(split, ids) for split in splits]
        mean_NC = mean_outputs(data.task, [outputs for _, _, outputs in read], temperatures, there)
        scores = scores_of(data, mean_NC, labels_N, ensemble.class_names)
        write_text(to, predictions_csv(scores, ids))
        return scores

    of_dev = Path(ARTIFACTS) / DEV_PREDICTIONS
    dev = together(of_dev, [one.dev for one in of], place / of_dev)
    tests = [one.test for one in of if one.test is not None]
    test = together(TEST_PREDICTIONS, tests, place / TEST_PREDICTIONS) if tests else None
    return SeedResult(
        seed,
        number,
        round(float(np.mean([result.epoch for result in found]))),
        dev.as_metrics("dev"),
        None if test is None else test.as_metrics("test"),
        None if test is None else test.logits_NC,
        place,
    )


def _temperature(part: _Part, result: SeedResult) -> float | None:
    """Fit a temperature to the run's own dev, where the member has one."""
    if part.export.temperature is None:
        return None
    dev = read_scores(result.folder / ARTIFACTS / DEV_PREDICTIONS)
    assert not isinstance(dev, RegressionScores)
    return fit_temperature(dev).value


def _there(split: Split, ids: Sequence[str]) -> np.ndarray | None:
    """Say of which of these rows of a split anything was there; None for all."""
    there_N: np.ndarray | None
    if isinstance(split, FusedSplit):
        there_N = np.asarray(split.present(np.arange(len(split))).any(axis=1))
    else:
        there_N = split.present_N
    if there_N is None:
        return None
    known = dict(zip(split.ids, there_N, strict=True))
    return np.array([known[one] for one in ids], dtype=bool)


def _dev_of(study: SeedStudy, options: RunOptions) -> Split:
    files = ensure_config(study.config, ("dev",), options.cache)["dev"]
    return as_split(study.config, {modality: read_table(path) for modality, path in files.items()})


def _study_name(parts: Sequence[_Part]) -> str:
    """Name the folder of the groups by what its members are."""
    identity = [[part.study.study, part.place, part.export.temperature is not None] for part in parts]
    return f"eval-ensemble-{parts[0].export.data.corpus_name}-{sha256_json(identity)[:10]}"


def _counted(names: Sequence[str]) -> list[str]:
    """Write equal names once, with their number."""
    return [f"{names.count(name)} x {name}" if names.count(name) > 1 else name for name in dict.fromkeys(names)]


def _told(parts: Sequence[_Part], seeds: Sequence[int]) -> dict[str, Any]:
    """Say for results.json which runs each group has."""
    return {
        "members": [{"model": part.export.title, "study": part.study.study} for part in parts],
        "groups": {str(seed): [part.seed(seed) for part in parts] for seed in seeds},
    }
