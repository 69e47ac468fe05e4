"""Evaluate exports over seeds and compare them.

The order matters: every seed of every export is trained first, then test is read, then the statistics are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from mer.checkpoints.export_folder import Export, read_export
from mer.data.registry import present_splits
from mer.errors import MerError
from mer.naming import method_name
from mer.study.evaluate.compare import ScoredSeeds, compare
from mer.study.evaluate.mlflow_scores import log_test_scores
from mer.study.evaluate.report_on_dev import report_dev, scored_on_dev
from mer.study.evaluate.report_on_test import Evaluated, print_results, results_json, write_results
from mer.study.evaluate.seeds import SeedStudy, evaluate_on_test, on_all_folds, seed_results, train_seeds, with_root
from mer.study.export.amend_card import show_on_card
from mer.study.preflight.feature_plan import SPLITS, ensure_config, feature_name
from mer.study.preflight.run_options import RunOptions
from mer.study.space.spec import Resources
from mer.training.labels import same_labels


def evaluate_exports(
    exports: Sequence[Path],
    seeds: Sequence[int],
    options: RunOptions,
    console: Console,
    *,
    data_root: str | None = None,
    resources: Resources | None = None,
    dev_only: bool = False,
) -> list[Evaluated]:
    """Train every export's configuration once per seed, score each on test once, compare the first with the others.

    Writes `results.json`, `.md` and `.csv` into the folder of each seeds study.

    Args:
        data_root: where the data lie now, if not where the exports say.
        resources: workers and GPU share per seed.
        dev_only: stop before test and report dev.
    Returns: the scores on test, one entry per export; [] with `dev_only`.
    Raises: MerError when data are missing or not those of the search, or a seed failed.
    """
    given = resources or Resources()
    read = [read_export(folder) for folder in exports]
    studies = [
        SeedStudy(folder.name, on_all_folds(with_root(one.config, data_root)))
        for folder, one in zip(exports, read, strict=True)
    ]
    if len({study.study for study in studies}) != len(studies):
        raise MerError("--against", "two of the exports hold the same configuration", then="compare different ones")
    for export, study in zip(read, studies, strict=True):
        require_same_data(export, study, options)
        if not dev_only:
            require_test_split(study)
    # Test is opened after every seed of every configuration was trained and its epoch chosen on dev.
    folders = []
    for study in studies:
        console.print(f"{study.name}: {method_name(study.config)}, seeds {' '.join(map(str, seeds))}")
        folders.append(train_seeds(study, seeds, options, console, given))
    for study, folder in zip(studies, folders, strict=True):
        seed_results(folder, study.study, seeds)  # a failed seed of one is refused before test is read for another
    if dev_only:
        _report_dev(exports, studies, folders, seeds, options, console)
        return []
    done: list[Evaluated] = []
    for path, export, study, folder in zip(exports, read, studies, folders, strict=True):
        results = seed_results(folder, study.study, seeds)
        test, data = evaluate_on_test(results, study.config, options.cache, device=given.device)
        results = seed_results(folder, study.study, seeds)
        if trouble := log_test_scores(folder, study.study, results):
            console.print(f"note: {trouble}", highlight=False, markup=False, soft_wrap=True)
        metric = str(export.provenance.get("threshold", {}).get("metric", ""))
        names = list(data.class_names)
        calibrated = export.temperature is not None
        done.append(Evaluated(study.name, str(path), study.config, results, test, names, metric, calibrated))
    scored = [one.scored for one in done]
    _require_same_utterances(scored)
    told = [results_json(one, [], options.command) for one in done]
    told[0]["comparisons"] = compare(scored[0], scored[1:])
    for one, words, folder in zip(done, told, folders, strict=True):
        write_results(folder, words)
        print_results(console, one, words)
    for comparison in told[0]["comparisons"]:
        console.print(comparison["verdict"], soft_wrap=True)
    places = ", ".join(str(folder / "results.json") for folder in folders)
    console.print(f"written: {places} (and .md, .csv)", soft_wrap=True)
    for export, words in zip(read, told, strict=True):
        console.print(show_on_card(export, words), soft_wrap=True, highlight=False, markup=False)
    options.make_pages(folders, console)
    return done


def _report_dev(
    exports: Sequence[Path],
    studies: Sequence[SeedStudy],
    folders: Sequence[Path],
    seeds: Sequence[int],
    options: RunOptions,
    console: Console,
) -> None:
    """Print and write what dev says of every export, and compare the first with the others."""
    results = [seed_results(folder, study.study, seeds) for study, folder in zip(studies, folders, strict=True)]
    comparisons: list[dict[str, Any]] = []
    if len(exports) > 1:
        scored = [
            scored_on_dev(study, path, found) for study, path, found in zip(studies, exports, results, strict=True)
        ]
        _require_same_utterances(scored)
        comparisons = compare(scored[0], scored[1:])
    for index, (study, path) in enumerate(zip(studies, exports, strict=True)):
        told = [] if index else comparisons
        report_dev(study, path, results[index], folders[index], options.command, console, told)
    for comparison in comparisons:
        console.print(f"on dev: {comparison['verdict']}", soft_wrap=True)
    options.make_pages(folders, console)


def require_test_split(study: SeedStudy) -> None:
    """Refuse data without a test split before hours of training. Looks for the split and does not read it."""
    data = study.config.data
    if data.folds is None and "test" not in present_splits(data):
        raise MerError(
            data.root,
            "there is no test split here",
            then="add it, or --dev-only: the seeds are trained and dev is reported, which chose the configuration",
        )


def require_same_data(export: Export, study: SeedStudy, options: RunOptions) -> None:
    """Refuse data or a backbone other than the search had. Feature files are named by their content, so names tell."""
    then = export.provenance.get("features", {})
    paths = ensure_config(study.config, SPLITS, options.cache)
    other = [split for split in SPLITS if split in then and then[split] != feature_name(paths[split])]
    if other:
        raise MerError(
            export.folder,
            f"{' and '.join(other)} here are not what it was searched on (other data, or another backbone)",
            then="bring the former data and backbone back (--data-root DIR), or search again on these",
        )


def _require_same_utterances(scored: Sequence[ScoredSeeds]) -> None:
    """Refuse to compare evaluations on different utterances or labels."""
    first = scored[0]
    for other in scored[1:]:
        if other.ids != first.ids or not same_labels(other.labels_N, first.labels_N):
            raise MerError(
                other.export,
                f"was evaluated on other utterances or labels than {first.export}",
                then="compare exports of one dataset and task",
            )
