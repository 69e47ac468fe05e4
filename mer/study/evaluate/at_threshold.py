"""Score seeds on test at the decision thresholds that dev chose for each: of two classes where an export keeps one, of
several labels always."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mer.statistics import describe
from mer.statistics.over_labels import METRICS as LABEL_METRICS
from mer.study.evaluate.seeds import TEST_PREDICTIONS, SeedResult
from mer.study.folder.recorded import read_scores
from mer.study.paths import ARTIFACTS, DEV_PREDICTIONS
from mer.training.label_scores import MultilabelScores
from mer.training.label_thresholds import LabelThresholds, choose_label_thresholds
from mer.training.metrics import Scores
from mer.training.threshold import METRICS, choose_threshold


def at_thresholds(results: Sequence[SeedResult], metric: str) -> dict[str, Any]:
    """Choose a threshold for every seed by its own dev predictions, and score its test predictions there.

    Args:
        results: seeds whose test predictions are written; nothing is predicted again.
        metric: of `mer.training.threshold.METRICS`, as the export chose its own.
    Returns: for `results.json`: the metric, a row per seed and the summary of the test metrics.
    """
    rows: list[dict[str, Any]] = []
    for result in results:
        dev, test = (_of_classes(path) for path in predictions_of(result))
        chosen = choose_threshold(dev, metric)
        moved = replace(test, logits_NC=chosen.shifted(test.logits_NC))
        scores = {f"test_{name}": float(getattr(moved, name)) for name in METRICS}
        rows.append({"seed": result.seed, "at_least": chosen.at_least, "test": scores})
    summary = {name: asdict(describe([row["test"][name] for row in rows])) for name in rows[0]["test"]}
    return {"metric": metric, "seeds": rows, "summary": summary}


def at_label_thresholds(results: Sequence[SeedResult]) -> dict[str, Any]:
    """Choose a threshold of every label for every seed by its own dev predictions, and score test there.

    Returns: as `at_thresholds`; `above` of a seed holds the probability above which each label is given.
    """
    rows: list[dict[str, Any]] = []
    for result in results:
        chosen, test = dev_thresholds(result), read_scores(predictions_of(result)[1])
        assert isinstance(test, MultilabelScores)
        moved = chosen.shifted(test)
        scores = {f"test_{name}": float(getattr(moved, name)) for name in LABEL_METRICS}
        rows.append({"seed": result.seed, "above": chosen.above, "test": scores})
    summary = {name: asdict(describe([row["test"][name] for row in rows])) for name in rows[0]["test"]}
    return {"metric": "f1 of each label", "seeds": rows, "summary": summary}


def dev_thresholds(result: SeedResult) -> LabelThresholds:
    """Choose the thresholds of several labels by a seed's own dev predictions."""
    dev = read_scores(predictions_of(result)[0])
    assert isinstance(dev, MultilabelScores)
    return choose_label_thresholds(dev)


def predictions_of(result: SeedResult) -> tuple[Path, Path]:
    """Return the files of a seed's predictions of dev and of test."""
    return result.folder / ARTIFACTS / DEV_PREDICTIONS, result.folder / TEST_PREDICTIONS


def _of_classes(path: Path) -> Scores:
    scores = read_scores(path)
    assert isinstance(scores, Scores)
    return scores


def threshold_line(told: dict[str, Any]) -> str:
    """Say in a line what the thresholds were and what test gives at them."""
    if "above" in told["seeds"][0]:
        words = {"macro_f1": "macro-F1", "micro_f1": "micro-F1", "samples_f1": "samples-F1", "jaccard": "Jaccard"}
        means = ", ".join(f"{word} {100 * told['summary'][f'test_{name}']['mean']:.2f}" for name, word in words.items())
        return f"at the thresholds of labels that dev chose for each seed: mean {means}"
    places = [row["at_least"] for row in told["seeds"]]
    between = f"{min(places):.2f}" if min(places) == max(places) else f"{min(places):.2f} to {max(places):.2f}"
    names = {"accuracy": "accuracy", "weighted_f1": "weighted-F1", "macro_f1": "macro-F1", "unweighted_accuracy": "UA"}
    means = ", ".join(f"{words} {100 * told['summary'][f'test_{name}']['mean']:.2f}" for name, words in names.items())
    return f"at the threshold that dev chose for each seed ({names[told['metric']]}; {between}): mean {means}"
