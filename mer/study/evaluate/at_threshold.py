"""Score seeds on test at the decision threshold that dev chose for each, where an export keeps a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from mer.statistics import describe
from mer.study.evaluate.seeds import TEST_PREDICTIONS, SeedResult
from mer.study.folder.recorded import read_scores
from mer.study.paths import ARTIFACTS, DEV_PREDICTIONS
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
        chosen = choose_threshold(read_scores(result.folder / ARTIFACTS / DEV_PREDICTIONS), metric)
        test = read_scores(result.folder / TEST_PREDICTIONS)
        moved = replace(test, logits_NC=chosen.shifted(test.logits_NC))
        scores = {f"test_{name}": float(getattr(moved, name)) for name in METRICS}
        rows.append({"seed": result.seed, "at_least": chosen.at_least, "test": scores})
    summary = {name: asdict(describe([row["test"][name] for row in rows])) for name in rows[0]["test"]}
    return {"metric": metric, "seeds": rows, "summary": summary}


def threshold_line(told: dict[str, Any]) -> str:
    """Say in a line what the thresholds were and what test gives at them."""
    places = [row["at_least"] for row in told["seeds"]]
    between = f"{min(places):.2f}" if min(places) == max(places) else f"{min(places):.2f} to {max(places):.2f}"
    names = {"accuracy": "accuracy", "weighted_f1": "weighted-F1", "macro_f1": "macro-F1", "unweighted_accuracy": "UA"}
    means = ", ".join(f"{words} {100 * told['summary'][f'test_{name}']['mean']:.2f}" for name, words in names.items())
    return f"at the threshold that dev chose for each seed ({names[told['metric']]}; {between}): mean {means}"
